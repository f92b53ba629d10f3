"""Oxford Flowers: 102 flowers that grow in Britain."""

import json
import random
from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.matlab_files import read_matlab
from lamm.datasets.splits import Split, SplitItem, is_text
from lamm.datasets.splitters import Parts, add_50_20_30
from lamm.datasets.templates import TEMPLATES
from lamm.errors import DataError


class OxfordFlowers(BenchmarkDataset):
    """4,093 / 1,633 / 2,463 photos; the benchmark's own cut, not the official one in `setid.mat`."""

    dataset_dir = "oxford_flowers"
    image_prefix = "jpg"
    split_file = "split_zhou_OxfordFlowers.json"
    template = TEMPLATES["OxfordFlowers"]
    expected_sizes = (4093, 1633, 2463)
    expected_classes = 102

    def fallback_split(self, rng: random.Random) -> Split:
        """`imagelabels.mat` and `cat_to_name.json`, 50 / 20 / 30 % of each flower, in the order of the first images."""
        labels = read_matlab(self.folder / "imagelabels.mat", "labels")[0]
        names_file = self.folder / "cat_to_name.json"
        names = _names(names_file)
        images: dict[int, list[SplitItem]] = {}
        for number, label in enumerate(map(int, labels), start=1):
            if str(label) not in names:
                raise DataError(f"{names_file} has no name for flower {label}; fetch the file again")
            item = SplitItem(f"image_{number:05d}.jpg", label - 1, names[str(label)])
            images.setdefault(label, []).append(item)
        parts: Parts = ([], [], [])
        for label, group in images.items():
            add_50_20_30(parts, group, rng, f'flower {label} ("{names[str(label)]}")')
        return Split(*parts)


def _names(file: Path) -> dict[str, str]:
    try:
        names = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} can't be read as JSON ({error}); fetch it again") from None
    if not isinstance(names, dict) or not all(map(is_text, names.values())):
        raise DataError(f'{file} holds no object of names such as {{"21": "fire lily"}}; fetch it again')
    return names
