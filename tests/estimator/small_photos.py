"""Small photos of four classes, made by code, and quick classifiers of them."""

from pathlib import Path
from typing import Any

import numpy as np

import lamm

QUICK = {"OPTIM.MAX_EPOCH": 6}
NAMES = ("red square", "green circle", "blue star", "white cross")
COLOURS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240))


def photo(colour: tuple[int, int, int], generator: np.random.Generator) -> np.ndarray:
    pixels = np.array(colour) + generator.normal(0, 25, (36, 36, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def photos_of(folder: Path, *names: str) -> tuple[list[str], list[str]]:
    files = [(str(file), name) for name in names or NAMES for file in sorted((folder / name).glob("*.png"))]
    return [path for path, _ in files], [name for _, name in files]


def classifier(**options: Any) -> lamm.Classifier:
    usual = {"backbone": "tiny", "folds": 0, "views": 2, "settings": QUICK}
    return lamm.Classifier(**{**usual, **options})


def clone_of(one: lamm.Classifier) -> lamm.Classifier:
    other = lamm.Classifier(**one.get_params())
    other.__dict__.update(one.__dict__)
    return other
