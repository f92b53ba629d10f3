"""Two files in a run's folder: its classes in CLIP's embedding space, and its predictions for each test image.

`class_features.safetensors` has the classes before and after learning; `predictions.csv` has a line per test image.
Letters: N classes, E embedding size.
"""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from safetensors import SafetensorError, safe_open

from lamm.errors import ResultsError
from lamm.escaping import csv_cell, csv_value
from lamm.files import atomic_path
from lamm.prompts import DEFAULT_CONTEXT
from lamm.reading import json_value

if TYPE_CHECKING:  # predictions are read without torch, as for a table of results
    from torch import Tensor

    from lamm.scoring import Scoring

CLASS_FEATURES_FILE = "class_features.safetensors"
PREDICTIONS_FILE = "predictions.csv"


@dataclass(frozen=True)
class ClassFeatures:
    """Unit text features of a run's classes, kept in fp16.

    Attributes:
        class_names: One per class, in label order.
        learned: Of the run's prompts, (N, E); of prompts that depend on the image, of those without one.
        original: Of "a photo of a {}." with CLIP as it is, (N, E).
    """

    class_names: list[str]
    learned: "Tensor"
    original: "Tensor"

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the file into a run's folder in one step."""
        from safetensors.torch import save

        tensors = {name: getattr(self, name).detach().cpu().half().contiguous() for name in ("learned", "original")}
        names = json.dumps(self.class_names, ensure_ascii=False, separators=(",", ":"))
        with atomic_path(Path(folder) / CLASS_FEATURES_FILE) as temporary:
            temporary.write_bytes(save(tensors, {"class_names": names}))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "ClassFeatures | None":
        """Read the file of a run's folder, in fp32; None if there is none.

        Raises:
            ResultsError: The file is damaged.
        """
        file = Path(folder) / CLASS_FEATURES_FILE
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                names = json_value((opened.metadata() or {})["class_names"])
                learned, original = (opened.get_tensor(name).float() for name in ("learned", "original"))
        except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, OSError) as error:
            raise ResultsError(f"{file} is damaged: {' '.join(str(error).split())[:160]}") from error
        texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not texts or learned.shape != original.shape or learned.ndim != 2 or len(names) != len(learned):
            raise ResultsError(f"{file} is damaged: its names don't fit its features")
        return cls(names, learned, original)

    def moved(self) -> "Tensor":
        """How far each class moved: 1 − cos(learned, original). Shape: (N,)"""
        import torch

        return 1 - torch.cosine_similarity(self.learned, self.original, dim=1)


def class_features(scoring: "Scoring", class_names: Sequence[str]) -> ClassFeatures:
    """Unit features of the current prompts, beside those of "a photo of a {}." with CLIP as it is."""
    import torch

    from lamm.scoring import TemplatePrompts

    with torch.no_grad():
        original = TemplatePrompts(scoring.clip, class_names, [f"{DEFAULT_CONTEXT} {{}}."]).text_features()
        return ClassFeatures(list(class_names), scoring.text_features()[0], original[0])


class Prediction(NamedTuple):
    """One test image.

    Attributes:
        image: Its file, below the data root where it lies there, else absolute.
        label: Number of its class.
        predicted: Number of the class with the highest score.
        confidence: That class's probability.
        label_name: Name of its class; empty in files of earlier versions.
        predicted_name: Name of the predicted class.
    """

    image: str
    label: int
    predicted: int
    confidence: float
    label_name: str = ""
    predicted_name: str = ""

    @property
    def right(self) -> bool:
        """Whether the predicted class is the image's."""
        return self.label == self.predicted


def write_predictions(folder: str | os.PathLike[str], predictions: Sequence[Prediction]) -> None:
    """Write the file into a run's folder in one step."""
    with (
        atomic_path(Path(folder) / PREDICTIONS_FILE) as temporary,
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Prediction._fields)
        for one in predictions:
            writer.writerow([csv_cell(one.image), *one[1:3], f"{one.confidence:.4f}", *map(csv_cell, one[4:])])


def read_predictions(folder: str | os.PathLike[str]) -> list[Prediction] | None:
    """The predictions of a run's folder, in the order of its test images; None if there is no such file.

    Raises:
        ResultsError: The file can't be read or is damaged.
    """
    path = Path(folder) / PREDICTIONS_FILE
    if not path.is_file():
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file)
            header = tuple(next(rows, ()))
            if header not in (Prediction._fields, Prediction._fields[:4]):
                raise ResultsError(f"{path} is damaged: its first line must be {','.join(Prediction._fields)}")
            return [_prediction(row, len(header)) for row in rows]
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise ResultsError(f"{path} is damaged: {error}") from error


def _prediction(row: Sequence[str], columns: int) -> Prediction:
    if len(row) != columns:
        raise ValueError(f"a line has {len(row)} columns, not {columns}")
    image, label, best, sure, *names = row
    return Prediction(csv_value(image), int(label), int(best), float(sure), *map(csv_value, names))
