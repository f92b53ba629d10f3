"""The fifteen data sets of the benchmark in miniature: their true folders and annotation files, a few tiny images.

`build_miniature("caltech101", root)` makes one under a data root and returns what is true of it. No split file is
published by default; `write_published_split` adds one."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.datasets.miniature_files import Truth, write_images, write_lines
from tests.datasets.miniature_sets import (
    build_caltech101,
    build_dtd,
    build_eurosat,
    build_fgvc_aircraft,
    build_food101,
    build_oxford_flowers,
    build_oxford_pets,
    build_stanford_cars,
    build_sun397,
    build_ucf101,
)

# The real ids and names: two classes are called "missile" and two "sunglasses".
NAMES = {
    "n01440764": "tench",
    "n01443537": "goldfish",
    "n01484850": "great white shark",
    "n01491361": "tiger shark",
    "n01494475": "hammerhead shark",
    "n01496331": "electric ray",
    "n01498041": "stingray",
    "n01514668": "rooster",
    "n03773504": "missile",
    "n04008634": "missile",
    "n04355933": "sunglasses",
    "n04356056": "sunglasses",
}
IDS = list(NAMES)
# What ImageNet-A and -R hold; their labels are ranks among these.
SOME_IDS = ["n01443537", "n01498041", "n03773504", "n04008634", "n04356056"]


def build_imagenet(root: Path) -> Truth:
    """A folder a class in `train` and in `val`."""
    folder = root / "imagenet"
    train = {f"train/{wnid}/{wnid}_{9 * number + 2}.JPEG": wnid for wnid in IDS for number in range(12, 7, -1)}
    # Numbered through all classes, as the real ones.
    numbered = {(label, place): f"{label + 12 * place:08d}" for label in range(12) for place in (2, 1)}
    val = {f"val/{IDS[label]}/ILSVRC2012_val_{number}.JPEG": IDS[label] for (label, _), number in numbered.items()}
    write_images(folder / "images", [*train, *val])
    _write_classnames(folder)
    label_of = {path: IDS.index(wnid) for path, wnid in (train | val).items()}
    official = {"train": set(train), "test": set(val)}
    return Truth(folder, list(NAMES.values()), label_of, (len(train), 0, len(val)), official)


def build_imagenetv2(root: Path) -> Truth:
    """Folders called by label, so that 10 comes after 9 and not after 1."""
    folder = root / "imagenetv2"
    label_of = {f"{label}/{label:02x}{number}c0ffee.jpeg": label for label in range(len(IDS)) for number in range(3)}
    return _variant(folder, "imagenetv2-matched-frequency-format-val", IDS, label_of)


def build_imagenet_sketch(root: Path) -> Truth:
    """All classes."""
    paths = {f"{wnid}/sketch_{number}.JPEG": wnid for wnid in IDS for number in range(3)}
    return _variant(root / "imagenet-sketch", "images", IDS, _ranked(paths, IDS))


def build_imagenet_a(root: Path) -> Truth:
    """Some classes, `classnames.txt` names all, a README beside the class folders."""
    paths = {f"{wnid}/0.00{number}_{NAMES[wnid]}_0.9.jpg": wnid for wnid in SOME_IDS for number in range(3)}
    truth = _variant(root / "imagenet-adversarial", "imagenet-a", SOME_IDS, _ranked(paths, SOME_IDS))
    write_lines(truth.folder / "imagenet-a" / "README.txt", ["n01443537 goldfish"])
    return truth


def build_imagenet_r(root: Path) -> Truth:
    """As ImageNet-A."""
    paths = {f"{wnid}/{kind}_{number}.jpg": wnid for wnid in SOME_IDS for kind in ("art", "toy") for number in range(2)}
    truth = _variant(root / "imagenet-rendition", "imagenet-r", SOME_IDS, _ranked(paths, SOME_IDS))
    write_lines(truth.folder / "imagenet-r" / "README.txt", ["n01443537 goldfish"])
    return truth


def _variant(folder: Path, prefix: str, ids: Iterable[str], label_of: dict[str, int]) -> Truth:
    write_images(folder / prefix, label_of)
    _write_classnames(folder)
    everything = {"train": set(label_of), "test": set(label_of)}
    return Truth(folder, [NAMES[wnid] for wnid in ids], label_of, (len(label_of), 0, len(label_of)), everything)


def _ranked(paths: dict[str, str], ids: list[str]) -> dict[str, int]:
    return {path: ids.index(wnid) for path, wnid in paths.items()}


def _write_classnames(folder: Path) -> None:
    write_lines(folder / "classnames.txt", [f"{wnid} {name}" for wnid, name in NAMES.items()])


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
