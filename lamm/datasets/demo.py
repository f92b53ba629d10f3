"""The demo data sets: handwritten digits and drawn shapes, whose folders are made on first use.

A folder is built under a hidden name beside its place and renamed when it is complete, so a folder with the right name
is never half built, and processes that build at the same time end with one result. A build that was killed leaves
its hidden folder behind, which nobody reads.
"""

import hashlib
import os
import random
from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import SPLIT_SEED, Split, SplitItem, write_split
from lamm.datasets.splitters import split_50_20_30
from lamm.drawing.compositions import HELD_OUT, NICKNAMES, draw_composition
from lamm.errors import DataError
from lamm.files import temporary_beside, write_json
from lamm.log import logger
from lamm.reading import json_object, read_bytes

STAMP_FILE = "lamm_demo.json"


def materialise(folder: Path, version: int, build: Callable[[Path], None]) -> None:
    """Make `folder` by `build` unless it is there.

    Args:
        folder: where the data set belongs; its parents are made as needed.
        version: of the generator; kept in the folder.
        build: fills the folder it is given, a temporary one.

    Raises:
        DataError: the folder is of another version or not from here, or can't be written.
    """
    if os.path.lexists(folder):
        _check_stamp(folder, version)
        return
    logger.info(f"Making the data set in {folder} (once)")
    try:
        with temporary_beside(folder, folder=True) as temporary:
            build(temporary)
            write_json(temporary / STAMP_FILE, {"data_set": folder.name, "generator_version": version})
            try:
                temporary.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process has put its folder there first: that one stays
                    raise
    except OSError as error:
        raise DataError(
            f"can't write the data set to {folder}: {error.strerror or error}; give another --root"
        ) from None
    _check_stamp(folder, version)
    logger.info(f"Made {folder}")


def _check_stamp(folder: Path, version: int) -> None:
    try:
        stamp = json_object(read_bytes(folder / STAMP_FILE), generator_version=int)
    except (OSError, ValueError):
        raise DataError(f"{folder} is not a data set made here (no readable {STAMP_FILE}); move or remove it") from None
    if (stored := stamp["generator_version"]) != version:
        raise DataError(
            f"{folder} holds version {stored} of this data set, version {version} is needed; remove the folder"
        )


class DemoDataset(BenchmarkDataset):
    """A data set that makes itself: a subclass says which images there are.

    Class attributes:
        generator_version: raise it with every change to images or split, so that old data on disk is noticed.
    """

    image_prefix = "images"
    generator_version: int = 1

    @classmethod
    @abstractmethod
    def content(cls) -> tuple[Split, Iterator[tuple[str, Image.Image]]]:
        """The split, and every image in it once as (path, picture), drawn as the iterator moves on.

        Both are the same on every machine.
        """

    def prepare(self) -> None:
        """Build the data set where it is not there yet."""
        materialise(self.folder, self.generator_version, self._build)

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return f"remove {self.folder} and it is made again"

    def _build(self, folder: Path) -> None:
        split, pictures = self.content()
        for path, picture in tqdm(
            pictures, total=sum(1 for _ in split.items()), desc=self.dataset_dir, unit="img", disable=None
        ):
            file = folder / self.image_prefix / path
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)
        write_split(folder / self.split_file, split)


CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Digits(DemoDataset):
    """10 classes, 32 × 32 grey images (the 8 × 8 scans enlarged), bright ink on black."""

    dataset_dir = "digits"
    split_file = "split_lamm_Digits.json"

    @classmethod
    def content(cls) -> tuple[Split, Iterator[tuple[str, Image.Image]]]:
        """See `DemoDataset.content`."""
        from sklearn.datasets import load_digits  # slow to import, and needed only once a data root

        scans = load_digits()
        paths = [f"{CLASS_NAMES[label]}/{index:04d}.png" for index, label in enumerate(scans.target)]
        classes = {
            name: [
                SplitItem(path, label, name) for path, truth in zip(paths, scans.target, strict=True) if truth == label
            ]
            for label, name in enumerate(CLASS_NAMES)
        }
        split = split_50_20_30(classes, random.Random(SPLIT_SEED))
        return split, ((path, enlarged(scan)) for path, scan in zip(paths, scans.images, strict=True))


def enlarged(scan: np.ndarray) -> Image.Image:
    """A scan of ink levels 0 … 16, shape (8, 8), as a grey image of 32 × 32."""
    grey = (scan.astype(np.int64) * 255 // 16).astype(np.uint8)
    return Image.fromarray(grey).resize((32, 32), Image.Resampling.BICUBIC)


IMAGES_OF = {"train": 30, "val": 12, "test": 18}
IMAGES = sum(IMAGES_OF.values())


class Shapes(DemoDataset):
    """One class per composition that the embedded model never saw; 30 / 12 / 18 images of 64 × 64 per class.

    Class attributes:
        style: how the pictures are drawn.
        parts: train, val, test in the order in which they take a class's pictures.
    """

    dataset_dir = "shapes"
    split_file = "split_lamm_Shapes.json"
    style: str = "plain"
    parts: tuple[str, ...] = ("train", "val", "test")

    @classmethod
    def content(cls) -> tuple[Split, Iterator[tuple[str, Image.Image]]]:
        """See `DemoDataset.content`."""
        split = Split([], [], [])
        for label, (shape, texture) in enumerate(HELD_OUT):
            name = f"{NICKNAMES[texture]} {shape}"
            items = iter([SplitItem(_path(shape, texture, index), label, name) for index in range(IMAGES)])
            for part in cls.parts:
                getattr(split, part).extend(islice(items, IMAGES_OF[part]))
        return split, cls._pictures()

    @classmethod
    def _pictures(cls) -> Iterator[tuple[str, Image.Image]]:
        """Each image has a generator of its own, so that it does not depend on how many came before it."""
        for shape, texture in HELD_OUT:
            for index in range(IMAGES):
                digest = hashlib.sha256(f"{cls.style}/{shape}/{texture}/{index}".encode()).digest()
                rng = np.random.RandomState(int.from_bytes(digest[:4], "big"))
                yield _path(shape, texture, index), Image.fromarray(draw_composition(shape, texture, rng, cls.style))


class ShapesInAnotherStyle(Shapes):
    """The classes of `Shapes` as other pictures: to test on what was trained on `shapes`, or to train on themselves."""

    generator_version = 2  # the first version had the test images alone
    parts = ("test", "train", "val")


class ShapesSketch(ShapesInAnotherStyle):
    """Sketches."""

    dataset_dir = "shapes_sketch"
    split_file = "split_lamm_ShapesSketch.json"
    style = "sketch"


class ShapesNoisy(ShapesInAnotherStyle):
    """Under noise."""

    dataset_dir = "shapes_noisy"
    split_file = "split_lamm_ShapesNoisy.json"
    style = "noisy"


class ShapesInverted(ShapesInAnotherStyle):
    """In inverted colours."""

    dataset_dir = "shapes_inverted"
    split_file = "split_lamm_ShapesInverted.json"
    style = "inverted"


def _path(shape: str, texture: str, index: int) -> str:
    return f"{texture}_{shape}/{index:02d}.png".replace(" ", "_")
