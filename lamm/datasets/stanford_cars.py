"""Stanford Cars: 196 models, each with its year."""

import random
from pathlib import Path
from typing import Any

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.matlab_files import read_matlab
from lamm.datasets.splits import Split, SplitItem, checked_item
from lamm.datasets.splitters import split_80_20
from lamm.datasets.templates import TEMPLATES
from lamm.errors import DataError


class StanfordCars(BenchmarkDataset):
    """6,509 / 1,635 / 8,041 photos in `cars_train/` and `cars_test/`."""

    dataset_dir = "stanford_cars"
    split_file = "split_zhou_StanfordCars.json"
    template = TEMPLATES["StanfordCars"]
    expected_sizes = (6509, 1635, 8041)
    expected_classes = 196

    def fallback_split(self, rng: random.Random) -> Split:
        """The official annotations, a fifth of each model's training images for validation."""
        meta = self.folder / "devkit" / "cars_meta.mat"
        try:
            names = [_year_first(str(cell[0])) for cell in read_matlab(meta, "class_names")[0]]
        except (IndexError, TypeError, ValueError):
            raise DataError(f"{meta} has no list of class names; fetch car_devkit.tgz again") from None
        trainval = self._annotated("devkit/cars_train_annos.mat", "cars_train", names)
        train, val = split_80_20(trainval, rng)
        return Split(train, val, self._annotated("cars_test_annos_withlabels.mat", "cars_test", names))

    def _annotated(self, file: str, images: str, names: list[str]) -> list[SplitItem]:
        annotations = read_matlab(self.folder / file, "annotations")
        return [_item(one, images, names, self.folder / file) for one in annotations[0]]


def _item(annotation: Any, images: str, names: list[str], file: Path) -> SplitItem:
    try:
        image, label = str(annotation["fname"][0]), int(annotation["class"][0, 0]) - 1
    except (IndexError, KeyError, TypeError, ValueError):
        raise DataError(f"{file} holds an annotation without a file name and a class; fetch the file again") from None
    if not 0 <= label < len(names):
        raise DataError(f"{file}: {image} has class {label + 1}, cars_meta.mat names 1 to {len(names)}")
    return checked_item((f"{images}/{image}", label, names[label]), f"{file}, {image}")


def _year_first(name: str) -> str:
    """ "Audi TTS Coupe 2012" → "2012 Audi TTS Coupe"."""
    *model, year = name.split()
    return " ".join([year, *model])
