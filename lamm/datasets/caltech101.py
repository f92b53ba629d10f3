"""Caltech-101: 100 object classes (background and easy faces left out)."""

import random

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import Split
from lamm.datasets.splitters import split_class_folders
from lamm.datasets.templates import TEMPLATES

IGNORED = ("BACKGROUND_Google", "Faces_easy")
RENAMED = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}


class Caltech101(BenchmarkDataset):
    """4,128 / 1,649 / 2,465 photos, in the folder tree that `101_ObjectCategories.tar.gz` unpacks to."""

    dataset_dir = "caltech-101"
    image_prefix = "101_ObjectCategories"
    split_file = "split_zhou_Caltech101.json"
    template = TEMPLATES["Caltech101"]
    expected_sizes = (4128, 1649, 2465)
    expected_classes = 100

    def fallback_split(self, rng: random.Random) -> Split:
        """A folder a class, 50 / 20 / 30 %."""
        return split_class_folders(self.image_folder, rng, IGNORED, RENAMED)
