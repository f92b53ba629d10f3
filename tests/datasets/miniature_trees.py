"""The fifteen data sets of the benchmark in miniature: their true folders and annotation files, a few tiny images.

`build_miniature("caltech101", root)` makes one under a data root and returns what is true of it. No split file is
published by default; `write_published_split` adds one.
"""

import json
from collections.abc import Callable
from pathlib import Path

from tests.datasets.miniature_files import Truth
from tests.datasets.miniature_folder_sets import build_caltech101, build_dtd, build_eurosat, build_food101
from tests.datasets.miniature_imagenets import (
    build_imagenet,
    build_imagenet_a,
    build_imagenet_r,
    build_imagenet_sketch,
    build_imagenetv2,
)
from tests.datasets.miniature_listed_sets import build_fgvc_aircraft, build_oxford_pets, build_sun397, build_ucf101
from tests.datasets.miniature_matlab_sets import build_oxford_flowers, build_stanford_cars

_BUILDERS: dict[str, Callable[[Path], Truth]] = {
    "caltech101": build_caltech101,
    "oxford_pets": build_oxford_pets,
    "stanford_cars": build_stanford_cars,
    "oxford_flowers": build_oxford_flowers,
    "food101": build_food101,
    "fgvc_aircraft": build_fgvc_aircraft,
    "sun397": build_sun397,
    "dtd": build_dtd,
    "eurosat": build_eurosat,
    "ucf101": build_ucf101,
    "imagenet": build_imagenet,
    "imagenetv2": build_imagenetv2,
    "imagenet_sketch": build_imagenet_sketch,
    "imagenet_a": build_imagenet_a,
    "imagenet_r": build_imagenet_r,
}
MINIATURES: tuple[str, ...] = tuple(_BUILDERS)

# Data set → its published split file.
PUBLISHED_SPLITS = {
    "caltech101": "split_zhou_Caltech101.json",
    "oxford_pets": "split_zhou_OxfordPets.json",
    "stanford_cars": "split_zhou_StanfordCars.json",
    "oxford_flowers": "split_zhou_OxfordFlowers.json",
    "food101": "split_zhou_Food101.json",
    "sun397": "split_zhou_SUN397.json",
    "dtd": "split_zhou_DescribableTextures.json",
    "eurosat": "split_zhou_EuroSAT.json",
    "ucf101": "split_zhou_UCF101.json",
}


def build_miniature(name: str, root: Path) -> Truth:
    """Make a data set, by its name on the command line, under a data root.

    Raises:
        KeyError: there is none of that name.
    """
    return _BUILDERS[name](root)


def write_published_split(name: str, truth: Truth) -> dict[str, list[list]]:
    """Write a split file of the published name and format beside a miniature; returns what it says.

    It has the sizes that the rules give and picks of its own: by the order of the names, classes from last to first.
    """
    content = _split_by_name(truth)
    text = json.dumps(content, indent=4, separators=(",", ": "))
    (truth.folder / PUBLISHED_SPLITS[name]).write_text(text, encoding="utf-8")
    return content


def _split_by_name(truth: Truth) -> dict[str, list[list]]:
    content: dict[str, list[list]] = {"train": [], "val": [], "test": []}
    fixed = (truth.official or {}).get("test")
    for label in reversed(range(len(truth.classnames))):
        paths = sorted(path for path, of_path in truth.label_of.items() if of_path == label)
        free = [path for path in paths if fixed is None or path not in fixed]
        in_train = round(0.5 * len(free)) if fixed is None else len(free) - round(0.2 * len(free))
        in_val = round(0.2 * len(free))
        cut = {
            "train": free[:in_train],
            "val": free[in_train : in_train + in_val],
            "test": free[in_train + in_val :] if fixed is None else [path for path in paths if path in fixed],
        }
        for part, of_part in cut.items():
            content[part] += [[path, label, truth.classnames[label]] for path in of_part]
    return content
