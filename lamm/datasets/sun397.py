"""SUN397: 397 kinds of scene."""

import random
from collections.abc import Mapping
from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.splits import Split, SplitItem
from lamm.datasets.splitters import split_80_20
from lamm.datasets.templates import TEMPLATES
from lamm.datasets.text_lists import read_entries, read_items


class SUN397(BenchmarkDataset):
    """15,880 / 3,970 / 19,850 photos: the first of the ten official partitions."""

    dataset_dir = "sun397"
    image_prefix = "SUN397"
    split_file = "split_zhou_SUN397.json"
    template = TEMPLATES["SUN397"]
    expected_sizes = (15880, 3970, 19850)
    expected_classes = 397

    def fallback_split(self, rng: random.Random) -> Split:
        """The official lists, a fifth of each scene's training images for validation."""
        classes = read_entries(self.folder / "ClassName.txt", _without_slash, "/a/abbey")
        label_of = {name: label for label, name in enumerate(classes)}
        train, val = split_80_20(_listed(self.folder / "Training_01.txt", label_of), rng)
        return Split(train, val, _listed(self.folder / "Testing_01.txt", label_of))


def _listed(file: Path, label_of: Mapping[str, int]) -> list[SplitItem]:
    def parsed(line: str) -> SplitItem | None:
        path = _without_slash(line)
        scene = path.rpartition("/")[0]
        return SplitItem(path, label_of[scene], display_name(scene)) if scene in label_of else None

    return read_items(file, parsed, "/a/abbey/sun_aaa.jpg, with a scene of ClassName.txt")


def _without_slash(line: str) -> str:
    return line.removeprefix("/")


def display_name(scene: str) -> str:
    """`a/apartment_building/outdoor` → "outdoor apartment_building"."""
    return " ".join(reversed(scene.split("/")[1:]))
