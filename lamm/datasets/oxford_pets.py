"""Oxford-IIIT Pets: 37 breeds of cats and dogs."""

import random
from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import Split, SplitItem
from lamm.datasets.splitters import split_80_20
from lamm.datasets.templates import TEMPLATES
from lamm.datasets.text_lists import read_items


class OxfordPets(BenchmarkDataset):
    """2,944 / 736 / 3,669 photos."""

    dataset_dir = "oxford_pets"
    image_prefix = "images"
    split_file = "split_zhou_OxfordPets.json"
    template = TEMPLATES["OxfordPets"]
    expected_sizes = (2944, 736, 3669)
    expected_classes = 37

    def fallback_split(self, rng: random.Random) -> Split:
        """The official lists, a fifth of each breed's training images for validation."""
        train, val = split_80_20(_listed(self.folder / "annotations" / "trainval.txt"), rng)
        return Split(train, val, _listed(self.folder / "annotations" / "test.txt"))


def _listed(file: Path) -> list[SplitItem]:
    return read_items(file, _parsed, "image_name class_id species breed_id")


def _parsed(line: str) -> SplitItem | None:
    """`american_bulldog_12 2 2 1`: the breed is the image's name without its number, labels count from 1."""
    image, label, _species, _breed = line.split()
    breed, _, number = image.rpartition("_")
    return SplitItem(f"{image}.jpg", int(label) - 1, breed.lower()) if breed and number and int(label) > 0 else None
