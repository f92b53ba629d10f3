"""Photos that a user names on a command line (files, folders, patterns), and reading them in batches."""

import glob
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lamm.datasets.listing import IMAGE_SUFFIXES, LEFT_BEHIND
from lamm.engine.embedded.decoding import ImageFile
from lamm.errors import DataError

# What cameras and phones write, readable or not: a photo in a folder that can't be read is reported, not skipped.
PHOTO_SUFFIXES = (*IMAGE_SUFFIXES, ".avif", ".heic", ".heif", ".jp2")


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


def printable(text: str) -> str:
    """Text that takes one line of a terminal: what can't be printed is written as in Python's source."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def is_photo_name(name: str) -> bool:
    """Whether a file of a folder is taken for a photo."""
    return not name.startswith(".") and name.lower().endswith(PHOTO_SUFFIXES)


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
        photos += [os.path.join(place, name) for name in names if is_photo_name(name)]
    if not photos:
        missing.append(Unreadable(folder, "holds no photos"))
    return sorted(photos)


class PhotoBatch(NamedTuple):
    """What became of the next photos.

    Attributes:
        places: of those that could be read, in the list of paths.
        images: (B, 3, H, W); None if there is none.
        reasons: place of a photo that could not be read → why, one line.
    """

    places: list[int]
    images: Tensor | None
    reasons: dict[int, str]


class PhotoFiles(Dataset[tuple[int, Tensor | str]]):
    """Item i is (i, image (3, H, W)), or (i, the reason why there is none).

    Args:
        paths: of the files.
        transform: from an image, as `ImageFile.opened_for` opens it for this transform, to a tensor.
    """

    def __init__(self, paths: Sequence[str], transform: Callable[[Any], Tensor]) -> None:
        self._paths, self._transform = list(paths), transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[int, Tensor | str]:
        path = self._paths[place]
        if os.path.exists(path) and not os.path.isfile(path):
            return place, f'"{path}" is not a file'  # a pipe would be waited for
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a large photo, or odd metadata
                return place, self._transform(ImageFile(path).opened_for(self._transform))
        except DataError as error:
            return place, str(error)
        except Exception as error:  # whatever one file makes a decoder do, the others are classified
            reason = " ".join(str(error).split()) or type(error).__name__
            return place, f'image file "{path}" can\'t be used ({reason})'


def photo_batches(
    paths: Sequence[str], transform: Callable[[Any], Tensor], batch_size: int, workers: int
) -> Iterator[PhotoBatch]:
    """All photos, in their order.

    Args:
        paths: of the files.
        transform: of `PhotoFiles`.
        batch_size: photos per batch, readable or not.
        workers: processes that decode; 0: this one.
    """
    yield from DataLoader(
        PhotoFiles(paths, transform),
        batch_size=batch_size,
        num_workers=min(workers, -(-len(paths) // batch_size)),
        collate_fn=_together,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


def _together(items: list[tuple[int, Tensor | str]]) -> PhotoBatch:
    images = {place: value for place, value in items if isinstance(value, Tensor)}
    reasons = {place: value for place, value in items if isinstance(value, str)}
    return PhotoBatch(list(images), torch.stack(list(images.values())) if images else None, reasons)
