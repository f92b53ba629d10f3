"""Learned labels as a file: class names and their vectors, nothing else (`labels.safetensors`).

A vector takes 4·D bytes; names and header stand in the file's metadata.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lamm.errors import CheckpointError
from lamm.files import atomic_path, with_sorted_metadata
from lamm.reading import json_value

LABEL_FILE = "labels.safetensors"


@dataclass(frozen=True)
class LabelBank:
    """Learned labels by class, in label order; two classes may have the same name.

    Attributes:
        class_names: one a class.
        counts: number of vectors of each class.
        embeddings: all vectors, class after class, (V, D), fp32.
        backbone: name of the CLIP model whose text tower they belong to.
    """

    class_names: list[str]
    counts: list[int]
    embeddings: Tensor
    backbone: str

    def by_class(self) -> list[Tensor]:
        """The vectors of each class, (count, D) each."""
        return list(self.embeddings.split(self.counts))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file in one step; equal labels give equal bytes."""
        names = json.dumps(self.class_names, ensure_ascii=False, separators=(",", ":"))
        metadata = {"class_names": names, "backbone": self.backbone}
        if any(count != 1 for count in self.counts):
            metadata["counts"] = json.dumps(self.counts, separators=(",", ":"))
        tensors = {"embeddings": self.embeddings.detach().cpu().float().contiguous()}
        with atomic_path(path) as temporary:
            temporary.write_bytes(with_sorted_metadata(save(tensors, metadata)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "LabelBank":
        """Read the file.

        Raises:
            CheckpointError: it is missing, damaged, or no label file.
        """
        file = Path(path)
        if not file.is_file():
            raise CheckpointError(f"no label file at {file}")
        try:
            with safe_open(file, framework="pt") as opened:
                metadata = opened.metadata() or {}
                embeddings = opened.get_tensor("embeddings")
            names = json_value(metadata["class_names"])
            counts = json_value(metadata["counts"]) if "counts" in metadata else [1] * len(embeddings)
            backbone = metadata["backbone"]
        except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
            raise CheckpointError(f"{file} is damaged or not a label file: {reason}") from error
        texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
        whole = isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts)
        fits = texts and whole and len(names) == len(counts) and sum(counts) == len(embeddings)
        if not fits or embeddings.ndim != 2 or not embeddings.is_floating_point():
            raise CheckpointError(f"{file} is damaged: its names don't fit its vectors")
        if not embeddings.isfinite().all():
            raise CheckpointError(f"{file} holds numbers that are not finite: its training diverged, so it is not used")
        return cls(names, counts, embeddings.float(), backbone)


def match_by_name(bank: LabelBank, class_names: list[str], counts: list[int]) -> dict[int, Tensor]:
    """The bank's vectors for a class list, matched by class name.

    Two classes of the same name take the bank's classes of that name in order.

    Args:
        bank: the learned labels.
        class_names: the classes to serve.
        counts: how many vectors each of them takes.

    Returns:
        {place in `class_names`: vectors (count, D)}; classes that the bank does not know are left out.

    Raises:
        CheckpointError: a class takes another number of vectors than the bank has for it.
    """
    waiting: dict[str, list[Tensor]] = {}
    for name, vectors in zip(bank.class_names, bank.by_class(), strict=True):
        waiting.setdefault(name, []).append(vectors)
    matched: dict[int, Tensor] = {}
    for place, (name, count) in enumerate(zip(class_names, counts, strict=True)):
        known = waiting.get(name)
        if not known:
            continue
        vectors = known.pop(0) if len(known) > 1 else known[0]
        if len(vectors) != count:
            raise CheckpointError(
                f'the learned label of "{name}" has {len(vectors)} vectors, this model takes {count}: '
                "use the LABEL_TOKENS and backbone of the training run"
            )
        matched[place] = vectors.clone()
    return matched
