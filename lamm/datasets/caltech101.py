"""Caltech-101: 100 object classes (background and easy faces left out)."""

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.templates import TEMPLATES


class Caltech101(BenchmarkDataset):
    """4,128 / 1,649 / 2,465 photos, in the folder tree that `101_ObjectCategories.tar.gz` unpacks to."""

    dataset_dir = "caltech-101"
    image_prefix = "101_ObjectCategories"
    split_file = "split_zhou_Caltech101.json"
    template = TEMPLATES["Caltech101"]
