"""The benchmark's real split files: format, sizes, few-shot picks and class halves known from the reference code.

Needs the split files only, no images; skipped where they are not at hand.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.datasets.few_shot import few_shot_split
from lamm.datasets.splits import (
    Split,
    SplitItem,
    check_labels,
    hash_of_split,
    read_split,
    select_classes,
    split_as_text,
)

NAMES = (
    "Caltech101", "OxfordPets", "StanfordCars", "OxfordFlowers", "DescribableTextures", "EuroSAT", "UCF101",
)  # fmt: skip

# SHA-256 (first 12) over the picked paths joined by newlines: train and val at 16 shots, train and val at 1 shot,
# all with seed 1; and the first training image picked.
PICKS = {
    "Caltech101": ("e60a836bd33c", "53555d3fce94", "33173bedf9ad", "d8cdaf6e3fcf", "Faces/image_0201.jpg"),
    "OxfordPets": ("711e62ca7ba4", "b75fc02100f3", "cd2df5bce89f", "d7ffbf1be71a", "Abyssinian_141.jpg"),
    "StanfordCars": ("f7d56096c792", "edeb0808f53c", "d35e1547dbda", "6d79c97cfabd", "cars_train/00467.jpg"),
    "OxfordFlowers": ("ea366f552e24", "3a88b427e7b1", "2daab14963c6", "4d89ce5311ed", "image_00144.jpg"),
    "DescribableTextures": ("daf3b28e531f", "9ef81bd9b8f3", "b6fe093e7582", "15a11c6b2c66", "banded/banded_0117.jpg"),
    "EuroSAT": ("ad260707da91", "f171ab42c4e4", "07843a86e827", "1973d460e843", "AnnualCrop/AnnualCrop_2365.jpg"),
    "UCF101": (
        "b88bd6d2db74", "6499ec117e62", "8d32f53fb5ea", "bf70c9c64e89",
        "Apply_Eye_Makeup/v_ApplyEyeMakeup_g14_c04.jpg",
    ),
}  # fmt: skip

# Classes, then train / val / test of base and of new, then the last base and the first new class.
HALVES = {
    "Caltech101": (50, (2594, 1036, 1549), 50, (1534, 613, 916), "helicopter", "ibis"),
    "OxfordPets": (19, (1508, 377, 1881), 18, (1436, 359, 1788), "keeshond", "leonberger"),
    "StanfordCars": (
        98, (3240, 812, 4002), 98, (3269, 823, 4039), "1998 Eagle Talon Hatchback", "2012 FIAT 500 Abarth",
    ),
    "OxfordFlowers": (51, (1744, 696, 1053), 51, (2349, 937, 1410), "petunia", "wild pansy"),
    "DescribableTextures": (24, (1440, 576, 864), 23, (1380, 552, 828), "marbled", "matted"),
    "EuroSAT": (5, (7000, 2800, 4200), 5, (6500, 2600, 3900), "Industrial Buildings", "Pasture Land"),
    "UCF101": (51, (3926, 975, 1934), 50, (3713, 923, 1849), "Long_Jump", "Lunges"),
}  # fmt: skip

# First 16 of the SHA-256 of the published files.
FILES = {
    "Caltech101": "52ce83205ff8ff8a",
    "OxfordPets": "d7f3ffe65b3919f9",
    "StanfordCars": "40acee7aa65c8e47",
    "OxfordFlowers": "2f50c42fc1a17ca1",
    "DescribableTextures": "f26ebeccd2b58e68",
    "EuroSAT": "541503a77d0b26b7",
    "UCF101": "d78cb834f7c5792c",
}


@functools.cache
def read_once(file: Path) -> Split:
    return read_split(file)


def fingerprint(items: list[SplitItem]) -> str:
    return hashlib.sha256("\n".join(item.path for item in items).encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", NAMES)
def test_picks_are_those_of_the_reference(name: str, real_split_file: Callable[[str], Path]) -> None:
    split = read_once(real_split_file(name))
    many, one = (few_shot_split(split, shots, 1) for shots in (16, 1))
    found = (*map(fingerprint, (many.train, many.val, one.train, one.val)), many.train[0].path)
    assert found == PICKS[name]


@pytest.mark.parametrize("name", NAMES)
def test_halves_are_those_of_the_reference(name: str, real_split_file: Callable[[str], Path]) -> None:
    split = read_once(real_split_file(name))
    base, new = select_classes(split, "base"), select_classes(split, "new")
    found = []
    for half in (base, new):
        found += [len({item.label for item in half.train}), (len(half.train), len(half.val), len(half.test))]
    last = next(item.classname for item in base.train if item.label == found[0] - 1)
    first = next(item.classname for item in new.train if item.label == 0)
    assert (*found, last, first) == HALVES[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_published_file_is_written_back_byte_for_byte(name: str, real_split_file: Callable[[str], Path]) -> None:
    split = read_once(real_split_file(name))
    check_labels(split, name)
    assert split_as_text(split).encode() == real_split_file(name).read_bytes()
    assert hash_of_split(split).startswith(FILES[name])


def test_real_caltech101_loads_without_being_written_to(real_data: Path, tmp_path: Path) -> None:
    from lamm.datasets.benchmark import Caltech101

    real = real_data / "caltech-101"
    if not real.is_dir():
        pytest.skip("no caltech-101 among the real data")
    (tmp_path / "caltech-101").mkdir()
    for entry in real.iterdir():
        (tmp_path / "caltech-101" / entry.name).symlink_to(entry)
    dataset = Caltech101(root=tmp_path, num_shots=16, seed=1)
    assert (len(dataset.train_x), len(dataset.val), len(dataset.test)) == (1600, 400, 2465)
    assert dataset.classnames[:6] == ["face", "leopard", "motorbike", "accordion", "airplane", "anchor"]
    assert dataset.train_x[0].impath.endswith("101_ObjectCategories/Faces/image_0201.jpg")
