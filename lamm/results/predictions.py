"""What a run said of every test image (`predictions.csv`): image,label,predicted,confidence."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lamm.errors import ResultsError
from lamm.files import atomic_path

FILE_NAME = "predictions.csv"


class Prediction(NamedTuple):
    """One test image.

    Attributes:
        image: its file, below the data root where it lies there, else absolute.
        label: number of its class.
        predicted: number of the class with the highest score.
        confidence: that class's probability.
    """

    image: str
    label: int
    predicted: int
    confidence: float

    @property
    def right(self) -> bool:
        """Whether the predicted class is the image's."""
        return self.label == self.predicted


def write_predictions(folder: str | os.PathLike[str], predictions: Sequence[Prediction]) -> None:
    """Write the file into a run's folder in one step."""
    with atomic_path(Path(folder) / FILE_NAME) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Prediction._fields)
        writer.writerows((*one[:3], f"{one.confidence:.4f}") for one in predictions)


def read_predictions(folder: str | os.PathLike[str]) -> list[Prediction] | None:
    """The predictions of a run's folder, in the order of its test images; None: it has no such file.

    Raises:
        ResultsError: the file can't be read or is damaged.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        return None
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if tuple(next(rows, ())) != Prediction._fields:
                raise ResultsError(f"{path} is damaged: its first line must be {','.join(Prediction._fields)}")
            return [Prediction(image, int(label), int(said), float(sure)) for image, label, said, sure in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise ResultsError(f"{path} is damaged: {error}") from error
