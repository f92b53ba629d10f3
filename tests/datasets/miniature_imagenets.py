"""Miniatures of ImageNet and its four variants, with twelve of the classes."""

from collections.abc import Iterable
from pathlib import Path

from tests.datasets.miniature_files import Truth, write_images, write_lines

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
