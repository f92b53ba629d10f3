"""Describable Textures (DTD): 47 kinds of texture."""

import random

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import Split
from lamm.datasets.splitters import split_class_folders
from lamm.datasets.templates import TEMPLATES


class DescribableTextures(BenchmarkDataset):
    """2,820 / 1,128 / 1,692 photos; the benchmark's own cut, not the official one in `labels/`."""

    dataset_dir = "dtd"
    image_prefix = "images"
    split_file = "split_zhou_DescribableTextures.json"
    template = TEMPLATES["DescribableTextures"]
    expected_sizes = (2820, 1128, 1692)
    expected_classes = 47

    def fallback_split(self, rng: random.Random) -> Split:
        """A folder a class, 50 / 20 / 30 %."""
        return split_class_folders(self.image_folder, rng)
