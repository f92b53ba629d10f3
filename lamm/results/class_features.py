"""Where a run's classes lie in CLIP's embedding space, before and after learning (`class_features.safetensors`).

Letters: N classes, E embedding size.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lamm.errors import ResultsError
from lamm.files import atomic_path

FILE_NAME = "class_features.safetensors"


@dataclass(frozen=True)
class ClassFeatures:
    """Unit text features of a run's classes, kept in fp16.

    Attributes:
        class_names: one a class, in label order.
        learned: of the run's prompts, (N, E); of prompts that depend on the image, of those without one.
        original: of "a photo of a {}." with CLIP as it is, (N, E).
    """

    class_names: list[str]
    learned: Tensor
    original: Tensor

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the file into a run's folder in one step."""
        tensors = {name: getattr(self, name).detach().cpu().half().contiguous() for name in ("learned", "original")}
        names = json.dumps(self.class_names, ensure_ascii=False, separators=(",", ":"))
        with atomic_path(Path(folder) / FILE_NAME) as temporary:
            temporary.write_bytes(save(tensors, {"class_names": names}))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "ClassFeatures | None":
        """Read the file of a run's folder, in fp32; None: it has none.

        Raises:
            ResultsError: the file is damaged.
        """
        file = Path(folder) / FILE_NAME
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                names = json.loads((opened.metadata() or {})["class_names"])
                learned, original = (opened.get_tensor(name).float() for name in ("learned", "original"))
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise ResultsError(f"{file} is damaged: {error}") from error
        if learned.shape != original.shape or learned.ndim != 2 or len(names) != len(learned):
            raise ResultsError(f"{file} is damaged: its names don't fit its features")
        return cls(names, learned, original)

    def moved(self) -> Tensor:
        """How far each class moved: 1 − cos(learned, original). Shape: (N,)"""
        return 1 - torch.cosine_similarity(self.learned, self.original, dim=1)
