"""Photos that a user names on a command line (files, folders, patterns), and their most probable classes.

Letters: B photos of a batch, N classes.
"""

import csv
import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lamm.datasets.listing import LEFT_BEHIND
from lamm.engine.embedded.decoding import ImageFile
from lamm.engine.embedded.loader import bounded_workers, worker_errors
from lamm.errors import DataError
from lamm.escaping import csv_cell, printable
from lamm.images import is_image_name

UNKNOWN = "unknown"
CSV_MARK = "path,class_1,probability_1"
"""The first columns of every table of predictions."""


class Unreadable(NamedTuple):
    """A photo, folder or pattern that gave nothing, and why."""

    path: str
    reason: str

    def line(self) -> str:
        """Both on one line; reasons that name the path already stand alone."""
        return printable(self.reason if self.path in self.reason else f"{self.path}: {self.reason}")


class FoundPhotos(NamedTuple):
    """Files to classify, each once, and what could not be found."""

    files: list[str]
    missing: list[Unreadable]


def find_photos(given: Sequence[str]) -> FoundPhotos:
    """The files that arguments mean, in their order.

    A file counts whatever its ending. A folder stands for all photos in it and below it, sorted: files with a photo's
    ending, nothing hidden. What exists under neither meaning is taken for a pattern (`*`, `?`, `[…]`, and `**` for any
    number of folders), whose matches count as if they had been given, sorted.

    Args:
        given: paths and patterns; `~` is the home folder.
    """
    files: dict[str, str] = {}
    missing: list[Unreadable] = []
    for argument in given:
        for path in _meant(argument, missing):
            files.setdefault(os.path.abspath(path), path)
    return FoundPhotos(list(files.values()), missing)


def _meant(argument: str, missing: list[Unreadable]) -> Iterator[str]:
    path = os.path.expanduser(argument)
    if os.path.isdir(path):
        yield from _photos_below(path, missing)
    elif os.path.lexists(path):
        yield path
    elif glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            missing.append(Unreadable(argument, "matches no file"))
        for match in matches:
            if os.path.isdir(match):
                yield from _photos_below(match, missing)
            else:
                yield match
    else:
        missing.append(Unreadable(argument, "no such file or folder"))


def _photos_below(folder: str, missing: list[Unreadable]) -> list[str]:
    """The photos in a folder and below it; linked folders are followed, each once."""
    photos: list[str] = []
    seen: set[str] = set()

    def note(error: OSError) -> None:
        missing.append(Unreadable(str(error.filename), f"can't be listed: {error.strerror}"))

    for place, folders, names in os.walk(folder, followlinks=True, onerror=note):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in LEFT_BEHIND]
        photos += [os.path.join(place, name) for name in names if is_image_name(name)]
    if not photos:
        missing.append(Unreadable(folder, "holds no photos"))
    return sorted(photos)


class PhotoFiles(Dataset[tuple[int, Tensor | str]]):
    """Item i is (i, image (3, H, W)), or (i, the reason why there is none).

    Args:
        paths: of the files.
        transform: from an image, as `ImageFile.opened_for` opens it for this transform, to a tensor.
        upright: turn photos as their EXIF orientation says.
    """

    def __init__(self, paths: Sequence[str], transform: Callable[[Any], Tensor], upright: bool = True) -> None:
        self._paths, self._transform, self._upright = list(paths), transform, upright

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[int, Tensor | str]:
        path = self._paths[place]
        if os.path.exists(path) and not os.path.isfile(path):
            return place, f'"{path}" is not a file'  # a pipe would be waited for
        try:
            with redirect_stdout(sys.stderr):  # what the log says of the pixels; stdout is for the classes
                return place, self._transform(ImageFile(path, self._upright).opened_for(self._transform))
        except DataError as error:
            return place, str(error)
        except Exception as error:  # whatever one file makes a decoder do, the others are classified
            reason = " ".join(str(error).split()) or type(error).__name__
            return place, f'image file "{path}" can\'t be used ({reason})'


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
    judged: Callable[[Tensor], tuple[Tensor, Tensor]],
    class_names: Sequence[str],
    top_k: int,
    batch_size: int,
    workers: int,
    upright: bool = True,
) -> Iterator[list[Prediction | Unreadable]]:
    """The result of each photo, in order, one batch at a time.

    Args:
        paths: of the files.
        transform: of `PhotoFiles`.
        judged: from images (B, 3, H, W) on the CPU to probabilities (B, N), and whether they show none of the classes;
            `UNKNOWN` is the first of such a photo's classes then, with the best one's probability.
        class_names: N names, in label order.
        top_k: classes per photo; at most N are returned.
        batch_size: photos per batch, readable or not.
        workers: processes that decode; 0: this one.
        upright: of `PhotoFiles`.
    """
    batch_size = min(batch_size, len(paths))
    batches = DataLoader(
        PhotoFiles(paths, transform, upright),
        batch_size=batch_size,
        num_workers=bounded_workers(min(workers, -(-len(paths) // batch_size))),
        collate_fn=_collate,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )
    loaded = iter(batches)
    while True:
        with worker_errors():
            batch = next(loaded, None)
        if batch is None:
            return
        places, images, reasons = batch
        results: dict[int, Prediction | Unreadable] = {
            place: Unreadable(paths[place], reason) for place, reason in reasons.items()
        }
        if images is not None:
            probabilities, none = judged(images)
            best = probabilities.topk(min(top_k, len(class_names)), dim=1)
            rows = zip(places, best.values.tolist(), best.indices.tolist(), none.tolist(), strict=True)
            for place, values, labels, strange in rows:
                ranked = [(class_names[label], value) for label, value in zip(labels, values, strict=True)]
                if strange:
                    ranked = [(UNKNOWN, values[0]), *ranked][: len(ranked)]
                results[place] = Prediction(paths[place], ranked)
        yield [results[place] for place in sorted(results)]


def _collate(items: list[tuple[int, Tensor | str]]) -> tuple[list[int], Tensor | None, dict[int, str]]:
    """Places of the readable photos, their images (B, 3, H, W) if any, and place → reason of the others."""
    images = {place: value for place, value in items if isinstance(value, Tensor)}
    reasons = {place: value for place, value in items if isinstance(value, str)}
    return list(images), torch.stack(list(images.values())) if images else None, reasons


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
        for path, ranked in predictions:
            fields = [field for name, value in ranked for field in (csv_cell(name), f"{value:.6f}")]
            self._writer.writerow([csv_cell(path), *fields])
