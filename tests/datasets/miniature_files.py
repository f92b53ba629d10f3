"""What the miniature data sets are made of: tiny JPEG images, text lists, MATLAB files, and what is true of each."""

import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat


@dataclass(frozen=True)
class Truth:
    """What a loader must find in a miniature data set.

    Attributes:
        folder: the data set's folder.
        classnames: by label.
        label_of: every usable image, by its path relative to the image prefix → label.
        sizes: images in train, val and test where no split file is published; a variant of ImageNet has the same
            images in train and test, and ImageNet no validation images of its own.
        official: part → paths of the images, for the parts that official lists or folders fix.
    """

    folder: Path
    classnames: list[str]
    label_of: dict[str, int]
    sizes: tuple[int, int, int]
    official: dict[str, set[str]] | None = None


@functools.cache
def jpeg(shade: int) -> bytes:
    """A real JPEG file of 24 x 16 pixels; another one for each shade."""
    colour = (shade * 37 % 256, shade * 91 % 256, shade * 151 % 256)
    file = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(file, format="JPEG")
    return file.getvalue()


def write_images(folder: Path, paths: Iterable[str], shade: int = 0) -> None:
    """An image at each of the paths in `folder`."""
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(shade))


def write_lines(file: Path, lines: Iterable[str], newline: str = "\n") -> None:
    """A UTF-8 text file of these lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("".join(line + newline for line in lines).encode("utf-8"))


def write_structs(file: Path, variable: str, records: Sequence[dict[str, Any]]) -> None:
    """A MATLAB file with a 1 x n struct array, as `annotations[0][i]["class"][0, 0]` reads it."""
    structs = np.empty((1, len(records)), dtype=[(field, object) for field in records[0]])
    for place, record in enumerate(records):
        structs[0, place] = tuple(record.values())
    write_matlab(file, {variable: structs})


def write_cells(file: Path, variable: str, texts: Sequence[str]) -> None:
    """A MATLAB file with a 1 x n cell array of texts, as `class_names[0][i][0]` reads it."""
    cells = np.empty((1, len(texts)), dtype=object)
    cells[0, :] = texts
    write_matlab(file, {variable: cells})


def write_matlab(file: Path, content: dict[str, Any]) -> None:
    """A MATLAB 5 file, compressed as the data sets' own are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, content, do_compression=True)


def cut_50_20_30(counts: Iterable[int]) -> tuple[int, int, int]:
    """Sizes of train, val and test for classes with so many images: half, a fifth (ties to even), the rest."""
    cuts = [(round(0.5 * count), round(0.2 * count), count) for count in counts]
    train, val, images = (sum(column) for column in zip(*cuts, strict=True))
    return train, val, images - train - val


def cut_80_20(counts: Iterable[int], test: int) -> tuple[int, int, int]:
    """Train, val and test sizes of classes with so many official training images, of which a fifth becomes val."""
    cuts = [(count - round(0.2 * count), round(0.2 * count)) for count in counts]
    train, val = (sum(column) for column in zip(*cuts, strict=True))
    return train, val, test


PETS = ("cat", "dog", "guinea pig")


def make_folders(root: Path, counts: Mapping[str, int]) -> Path:
    """A folder with so many photos a class; returns `root`."""
    for shade, (name, count) in enumerate(counts.items()):
        write_images(root / name, [f"photo {number}.jpg" for number in range(1, count + 1)], shade)
    return root


def paths_by_part(dataset: Any) -> dict[str, set[str]]:
    """Part → its images, relative to the image folder."""
    parts = {"train": dataset.train_x, "val": dataset.val or [], "test": dataset.test}
    return {
        part: {Path(item.impath).relative_to(dataset.image_folder).as_posix() for item in items}
        for part, items in parts.items()
    }


def label_by_path(dataset: Any) -> dict[str, str]:
    """Image, relative to the image folder → class name."""
    return {
        Path(item.impath).relative_to(dataset.image_folder).as_posix(): item.classname
        for items in (dataset.train_x, dataset.val or [], dataset.test)
        for item in items
    }
