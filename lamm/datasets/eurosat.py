"""EuroSAT: 10 kinds of land, seen by the Sentinel-2 satellite."""

import random

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import Split
from lamm.datasets.splitters import split_class_folders
from lamm.datasets.templates import TEMPLATES

RENAMED = {
    "AnnualCrop": "Annual Crop Land",
    "Forest": "Forest",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "River": "River",
    "SeaLake": "Sea or Lake",
}


class EuroSAT(BenchmarkDataset):
    """13,500 / 5,400 / 8,100 pictures of 64 × 64 (the RGB version)."""

    dataset_dir = "eurosat"
    image_prefix = "2750"
    split_file = "split_zhou_EuroSAT.json"
    template = TEMPLATES["EuroSAT"]
    expected_sizes = (13500, 5400, 8100)
    expected_classes = 10

    def fallback_split(self, rng: random.Random) -> Split:
        """A folder a class, 50 / 20 / 30 %."""
        return split_class_folders(self.image_folder, rng, renamed=RENAMED)
