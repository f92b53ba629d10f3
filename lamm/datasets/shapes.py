"""Shapes: drawn, fine-grained classes, each a shape with a texture, and three domain-shift variants.

A class is called by a nickname of its texture and the name of its shape ("zebra star" is a striped star).
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from lamm.datasets.demo_dataset import DemoDataset
from lamm.datasets.splits import Split, SplitItem
from lamm.datasets.templates import TEMPLATES
from lamm.drawing.compositions import HELD_OUT, draw_composition

NICKNAMES = {
    "striped": "zebra",
    "dotted": "ladybird",
    "checkered": "chessboard",
    "gridded": "waffle",
    "zigzag": "lightning",
    "ringed": "onion",
    "bricked": "wall",
    "speckled": "leopard",
}
TRAIN_IMAGES, VAL_IMAGES, TEST_IMAGES = 30, 12, 18


class Shapes(DemoDataset):
    """One class for each composition that the embedded model never saw; 30 / 12 / 18 images of 64 × 64 a class."""

    dataset_dir = "shapes"
    split_file = "split_lamm_Shapes.json"
    template = TEMPLATES["Shapes"]
    style: str = "plain"

    @classmethod
    def content(cls) -> tuple[Split, Iterator[tuple[str, Image.Image]]]:
        """See `DemoDataset.content`."""
        per_class = TEST_IMAGES if cls.test_only else TRAIN_IMAGES + VAL_IMAGES + TEST_IMAGES
        train: list[SplitItem] = []
        val: list[SplitItem] = []
        test: list[SplitItem] = []
        for label, (shape, texture) in enumerate(HELD_OUT):
            name = f"{NICKNAMES[texture]} {shape}"
            items = [SplitItem(_path(shape, texture, index), label, name) for index in range(per_class)]
            test.extend(items[-TEST_IMAGES:])
            if not cls.test_only:
                train.extend(items[:TRAIN_IMAGES])
                val.extend(items[TRAIN_IMAGES:-TEST_IMAGES])
        return Split(train, val, test), cls._pictures(per_class)

    @classmethod
    def _pictures(cls, per_class: int) -> Iterator[tuple[str, Image.Image]]:
        for shape, texture in HELD_OUT:
            for index in range(per_class):
                rng = _generator_of(cls.style, shape, texture, index)
                yield _path(shape, texture, index), Image.fromarray(draw_composition(shape, texture, rng, cls.style))


class ShapesSketch(Shapes):
    """The classes of `Shapes` as sketches; for testing only."""

    dataset_dir = "shapes_sketch"
    split_file = "split_lamm_ShapesSketch.json"
    template = TEMPLATES["ShapesSketch"]
    test_only = True
    style = "sketch"


class ShapesNoisy(Shapes):
    """The classes of `Shapes` under noise; for testing only."""

    dataset_dir = "shapes_noisy"
    split_file = "split_lamm_ShapesNoisy.json"
    template = TEMPLATES["ShapesNoisy"]
    test_only = True
    style = "noisy"


class ShapesInverted(Shapes):
    """The classes of `Shapes` in inverted colours; for testing only."""

    dataset_dir = "shapes_inverted"
    split_file = "split_lamm_ShapesInverted.json"
    template = TEMPLATES["ShapesInverted"]
    test_only = True
    style = "inverted"


def _path(shape: str, texture: str, index: int) -> str:
    return f"{texture}_{shape}/{index:02d}.png".replace(" ", "_")


def _generator_of(style: str, shape: str, texture: str, index: int) -> np.random.RandomState:
    """A generator of its own for each image, so that one image does not depend on how many came before it."""
    digest = hashlib.sha256(f"{style}/{shape}/{texture}/{index}".encode()).digest()
    return np.random.RandomState(int.from_bytes(digest[:4], "big"))
