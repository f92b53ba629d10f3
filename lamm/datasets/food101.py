"""Food-101: 101 dishes."""

import random

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import Split
from lamm.datasets.splitters import split_class_folders
from lamm.datasets.templates import TEMPLATES


class Food101(BenchmarkDataset):
    """50,500 / 20,200 / 30,300 photos; the benchmark's own cut, not the official one in `meta/`."""

    dataset_dir = "food-101"
    image_prefix = "images"
    split_file = "split_zhou_Food101.json"
    template = TEMPLATES["Food101"]
    expected_sizes = (50500, 20200, 30300)
    expected_classes = 101

    def fallback_split(self, rng: random.Random) -> Split:
        """A folder a class, 50 / 20 / 30 %."""
        return split_class_folders(self.image_folder, rng)
