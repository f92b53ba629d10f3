"""Digits: scikit-learn's 1,797 scans of handwritten digits, real images that need no download."""

import random
from collections.abc import Iterator

import numpy as np
from PIL import Image

from lamm.datasets.demo_dataset import DemoDataset
from lamm.datasets.splits import Split, SplitItem
from lamm.datasets.splitters import Parts, add_50_20_30
from lamm.datasets.templates import TEMPLATES

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZE = 32
_INK_LEVELS = 16
_SPLIT_SEED = 1


class Digits(DemoDataset):
    """10 classes, 32 × 32 grey images (the 8 × 8 scans enlarged), bright ink on black."""

    dataset_dir = "digits"
    split_file = "split_lamm_Digits.json"
    template = TEMPLATES["Digits"]

    @classmethod
    def content(cls) -> tuple[Split, Iterator[tuple[str, Image.Image]]]:
        """See `DemoDataset.content`."""
        from sklearn.datasets import load_digits  # slow to import, and needed only once a data root

        scans = load_digits()
        paths = [f"{CLASS_NAMES[label]}/{index:04d}.png" for index, label in enumerate(scans.target)]
        parts: Parts = ([], [], [])
        rng = random.Random(_SPLIT_SEED)
        for label, name in enumerate(CLASS_NAMES):
            images = [
                SplitItem(path, label, name) for path, truth in zip(paths, scans.target, strict=True) if truth == label
            ]
            add_50_20_30(parts, images, rng, f'class "{name}"')
        return Split(*parts), ((path, enlarged(scan)) for path, scan in zip(paths, scans.images, strict=True))


def enlarged(scan: np.ndarray) -> Image.Image:
    """A scan of ink levels 0 … 16, shape (8, 8), as a grey image of 32 × 32."""
    grey = (scan.astype(np.int64) * 255 // _INK_LEVELS).astype(np.uint8)
    return Image.fromarray(grey).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
