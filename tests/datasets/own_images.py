"""Someone's own images, as the tests of `ImageFolder` and `Csv` have them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.datasets.miniature_files import write_images

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
