"""The most probable classes of photos, and how they are written down.

Letters: B photos of a batch, N classes.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from torch import Tensor

from lamm.inference.photos import Unreadable, photo_batches, printable


class Prediction(NamedTuple):
    """The most probable classes of a photo, the best first.

    Attributes:
        path: of the file.
        ranked: (class name, probability).
    """

    path: str
    ranked: list[tuple[str, float]]


def predictions(
    paths: Sequence[str],
    transform: Callable[[Any], Tensor],
    probabilities: Callable[[Tensor], Tensor],
    class_names: Sequence[str],
    top_k: int,
    batch_size: int,
    workers: int,
) -> Iterator[list[Prediction | Unreadable]]:
    """The result of each photo, one batch at a time, in their order.

    Args:
        paths: of the files.
        transform: of `PhotoFiles`.
        probabilities: from images (B, 3, H, W) on the CPU to (B, N).
        class_names: N names, in label order.
        top_k: classes per photo; at most N are given.
        batch_size: photos per batch.
        workers: processes that decode.
    """
    for batch in photo_batches(paths, transform, batch_size, workers):
        done: dict[int, Prediction | Unreadable] = {
            place: Unreadable(paths[place], reason) for place, reason in batch.reasons.items()
        }
        if batch.images is not None:
            best = probabilities(batch.images).topk(min(top_k, len(class_names)), dim=1)
            for place, values, labels in zip(batch.places, best.values.tolist(), best.indices.tolist(), strict=True):
                names = [class_names[label] for label in labels]
                done[place] = Prediction(paths[place], list(zip(names, values, strict=True)))
        yield [done[place] for place in sorted(done)]


class Layout:
    """One line per photo: its path, then the classes with their probabilities, between tabs.

    Args:
        paths: all photos, whose longest sets the column's width; None: fields are not padded.
        class_names: the same for the names.
    """

    def __init__(self, paths: Sequence[str] | None = None, class_names: Sequence[str] = ()) -> None:
        self._separator = "\t" if paths is None else "  "
        self._path = max((len(printable(path)) for path in paths or ()), default=0)
        self._name = max((len(printable(name)) for name in class_names if paths is not None), default=0)

    def line(self, prediction: Prediction) -> str:
        """The line of one photo."""
        fields = [printable(prediction.path).ljust(self._path)]
        for name, probability in prediction.ranked:
            fields += [printable(name).ljust(self._name), f"{probability:.4f}"]
        return self._separator.join(fields)


class Table:
    """A CSV file of predictions: `path`, then `class_1`, `probability_1`, …

    Args:
        file: opened for text.
        ranks: classes per photo.
    """

    def __init__(self, file: IO[str], ranks: int) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        numbers = range(1, ranks + 1)
        self._writer.writerow(["path", *(f"{what}_{rank}" for rank in numbers for what in ("class", "probability"))])

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Add one row per photo."""
        for one in predictions:
            ranked = [field for name, value in one.ranked for field in (name, f"{value:.6f}")]
            self._writer.writerow([one.path, *ranked])
