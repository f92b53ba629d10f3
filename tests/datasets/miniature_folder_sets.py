"""Miniatures of the data sets with a folder a class, cut 50 / 20 / 30 %: Caltech-101, DTD, Food-101, EuroSAT."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.datasets.miniature_files import Truth, cut_50_20_30, write_images, write_lines

# Images a class: 5 and 7 are halved to a tie.
COUNTS = (10, 7, 5)


def build_caltech101(root: Path) -> Truth:
    """Capitals come before lower case; two folders are no classes; the background folder holds a stray file."""
    folder = root / "caltech-101"
    names = {
        "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "accordion": "accordion",
        "airplanes": "airplane", "car_side": "car_side", "water_lilly": "water_lilly", "yin_yang": "yin_yang",
    }  # fmt: skip
    images = folder / "101_ObjectCategories"
    for ignored in ("BACKGROUND_Google", "Faces_easy"):
        write_images(images / ignored, [f"image_{number:04d}.jpg" for number in range(1, 7)])
    write_lines(images / "BACKGROUND_Google" / "tmp", ["a list"])
    return _class_folders(folder, "101_ObjectCategories", names, lambda name, number: f"image_{number:04d}.jpg")


def build_dtd(root: Path) -> Truth:
    """With the official label lists, which the benchmark does not use, and a hidden file in a class folder."""
    folder = root / "dtd"
    names = {name: name for name in ("banded", "polka-dotted", "waffled")}
    truth = _class_folders(folder, "images", names, lambda name, number: f"{name}_{number:04d}.jpg")
    (folder / "images" / "waffled" / ".directory").write_bytes(b"[Dolphin]\n")
    for part in ("train1", "val1", "test1"):
        write_lines(folder / "labels" / f"{part}.txt", list(truth.label_of)[:3])
    return truth


def build_food101(root: Path) -> Truth:
    """With the official lists, which the benchmark does not use; images are called by number."""
    folder = root / "food-101"
    names = {name: name for name in ("apple_pie", "baby_back_ribs", "pho", "waffles")}
    truth = _class_folders(folder, "images", names, lambda name, number: f"{1000000 + 7919 * number}.jpg")
    listed = sorted(path.removesuffix(".jpg") for path in truth.label_of)
    write_lines(folder / "meta" / "classes.txt", sorted(names))
    write_lines(folder / "meta" / "labels.txt", ["Apple pie", "Baby back ribs", "Pho", "Waffles"])
    for part, paths in (("train", listed[::2]), ("test", listed[1::2])):
        write_lines(folder / "meta" / f"{part}.txt", paths)
        by_class = {name: [path for path in paths if path.startswith(f"{name}/")] for name in names}
        (folder / "meta" / f"{part}.json").write_text(json.dumps(by_class), encoding="utf-8")
    write_lines(folder / "README.txt", ["Food-101"])
    write_lines(folder / "license_agreement.txt", ["for research"])
    return truth


def build_eurosat(root: Path) -> Truth:
    """All ten classes, each with a name that differs from its folder's."""
    names = {
        "AnnualCrop": "Annual Crop Land", "Forest": "Forest", "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road", "Industrial": "Industrial Buildings", "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land", "Residential": "Residential Buildings", "River": "River",
        "SeaLake": "Sea or Lake",
    }  # fmt: skip
    return _class_folders(root / "eurosat", "2750", names, lambda name, number: f"{name}_{number}.jpg")


def _class_folders(folder: Path, prefix: str, names: Mapping[str, str], file_name: Callable[[str, int], str]) -> Truth:
    """A folder a class, in label order; `names` is folder → class name."""
    label_of, counts = {}, []
    for label, name in enumerate(names):
        counts.append(COUNTS[label % len(COUNTS)])
        # Numbers count down: the order in which files are made is not that of their names.
        paths = [f"{name}/{file_name(name, number)}" for number in range(counts[-1], 0, -1)]
        write_images(folder / prefix, paths, shade=label)
        label_of |= dict.fromkeys(paths, label)
    return Truth(folder, list(names.values()), label_of, cut_50_20_30(counts))
