"""The loader behind every data set: what it reads, what it refuses and how it says so."""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from yacs.config import CfgNode

from lamm.datasets import few_shot as few_shot_cache
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.benchmark import Caltech101
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
from lamm.errors import ConfigError, DataError

NEXT_TO_BASE = ["yo-yo", "zebra"]


class Toy(BenchmarkDataset):
    dataset_dir = "toy"
    image_prefix = "images"
    split_file = "split_toy.json"


class ToyVariant(Toy):
    test_only = True


def config(root: Path, shots: int = -1, seed: int = -1, subset: str | None = None) -> CfgNode:
    cfg = CfgNode({"DATASET": {"ROOT": str(root), "NUM_SHOTS": shots}, "SEED": seed})
    if subset is not None:
        cfg.DATASET.SUBSAMPLE_CLASSES = subset
    return cfg


def paths(items: list) -> list[str]:
    return [item.impath for item in items]


def change_split(root: Path, part: str, position: int, entry: list) -> None:
    file = root / "toy" / "split_toy.json"
    content = json.loads(file.read_text())
    content[part][position] = entry
    file.write_text(json.dumps(content))


def error_of(root: Path, **arguments: object) -> str:
    with pytest.raises(DataError, match=r".") as error:
        Toy(root=root, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_everything_is_loaded_by_default(toy_root: Path, toy_content: dict[str, list]) -> None:
    dataset = Toy(root=toy_root)
    images = toy_root / "toy" / "images"
    for part, items in (("train", dataset.train_x), ("val", dataset.val), ("test", dataset.test)):
        found = [(item.impath, item.label, item.domain, item.classname) for item in items]
        assert found == [(str(images / path), label, 0, name) for path, label, name in toy_content[part]]
    assert dataset.train_u is None
    assert not (toy_root / "toy" / "split_fewshot").exists()


def test_classes_come_in_label_order_and_keep_a_repeated_name(toy_root: Path) -> None:
    dataset = Toy(root=toy_root)
    assert dataset.classnames == ["crane", "flower_pot", "crane", "yo-yo", "zebra"]
    assert (dataset.num_classes, dataset.lab2cname[2]) == (5, "crane")


def test_a_config_says_the_same_as_plain_arguments(toy_root: Path) -> None:
    from_config = Toy(config(toy_root, 2, 1, "new"))
    plain = Toy(root=toy_root, num_shots=2, seed=1, subsample_classes="new")
    assert paths(from_config.train_x) == paths(plain.train_x)
    assert from_config.classnames == plain.classnames == NEXT_TO_BASE


def test_a_config_without_class_subsets_means_all_classes(toy_root: Path) -> None:
    assert Toy(config(toy_root, 1, 1)).num_classes == 5


def test_the_home_folder_is_expanded(toy_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(toy_root.parent))
    assert Toy(root="~/root").folder == toy_root / "toy"


def test_a_relative_root_gives_absolute_paths(toy_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_root.parent)
    assert all(Path(path).is_absolute() for path in paths(Toy(root="root").train_x))


def test_few_shot_picks_at_most_four_for_validation(toy_root: Path) -> None:
    dataset = Toy(root=toy_root, num_shots=5, seed=1)
    assert (len(dataset.train_x), len(dataset.val), len(dataset.test)) == (4 * 5 + 2, 4 * 4 + 2, 4 * 3 + 2)


def test_too_small_classes_are_counted_in_the_log(toy_root: Path, logged: list[str]) -> None:
    Toy(root=toy_root, num_shots=3, seed=1)
    assert logged == [
        "Creating a 3-shot dataset",
        "1 of 5 classes have fewer than 3 training images: all are taken",
    ]


def test_one_draw_serves_all_class_subsets(toy_root: Path) -> None:
    drawn = paths(Toy(root=toy_root, num_shots=2, seed=1).train_x)
    halves = [Toy(root=toy_root, num_shots=2, seed=1, subsample_classes=half) for half in ("base", "new")]
    assert sorted(drawn) == sorted(path for half in halves for path in paths(half.train_x))
    assert [half.classnames for half in halves] == [["crane", "flower_pot", "crane"], NEXT_TO_BASE]
    assert len(list((toy_root / "toy" / "split_fewshot").iterdir())) == 1


def test_moving_the_data_root_keeps_the_picks(toy_root: Path, tmp_path: Path) -> None:
    before = [path.removeprefix(str(toy_root)) for path in paths(Toy(root=toy_root, num_shots=2, seed=3).train_x)]
    toy_root.rename(tmp_path / "elsewhere")
    after = paths(Toy(root=tmp_path / "elsewhere", num_shots=2, seed=3).train_x)
    assert [path.removeprefix(str(tmp_path / "elsewhere")) for path in after] == before


def test_a_read_only_root_works(toy_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, value: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(few_shot_cache, "write_json", refuse)
    assert len(Toy(root=toy_root, num_shots=1, seed=0).train_x) == 5


def test_the_split_hash_identifies_the_split_not_the_draw(toy_root: Path) -> None:
    whole = Toy(root=toy_root).split_hash
    assert Toy(root=toy_root, num_shots=1, seed=7, subsample_classes="new").split_hash == whole
    change_split(toy_root, "test", 0, ["3/test_1.jpg", 3, "yo-yo"])
    assert Toy(root=toy_root).split_hash != whole


def test_a_variant_tests_on_what_it_calls_training_images(toy_root: Path, logged: list[str]) -> None:
    dataset = ToyVariant(root=toy_root, num_shots=1, seed=1, subsample_classes="base")
    assert paths(dataset.train_x) == paths(dataset.test) == paths(Toy(root=toy_root).test)
    assert dataset.val is None
    assert logged == ["ToyVariant is for testing only: NUM_SHOTS 1 and SUBSAMPLE_CLASSES base has no effect on it"]


def test_a_missing_root_is_named_and_not_created(tmp_path: Path) -> None:
    assert f"the data root {tmp_path / 'nowhere'} does not exist" in error_of(tmp_path / "nowhere", num_shots=1, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_folder_is_pointed_out_and_nothing_is_created(toy_root: Path) -> None:
    (toy_root / "toy").rename(toy_root / "toys")
    message = error_of(toy_root, num_shots=1, seed=1)
    assert f'no folder "toy" in {toy_root} (the nearest name there is "toys")' in message
    assert [entry.name for entry in toy_root.iterdir()] == ["toys"]


def test_a_missing_split_file_names_the_expected_one(tmp_path: Path) -> None:
    (tmp_path / "caltech-101" / "101_ObjectCategories").mkdir(parents=True)
    expected = tmp_path / "caltech-101" / "split_zhou_Caltech101.json"
    with pytest.raises(DataError, match=f"Caltech101: no split file at {expected}"):
        Caltech101(root=tmp_path, num_shots=16, seed=1)
    assert [entry.name for entry in (tmp_path / "caltech-101").iterdir()] == ["101_ObjectCategories"]


def test_a_missing_image_folder_is_named(toy_root: Path) -> None:
    shutil.rmtree(toy_root / "toy" / "images")
    assert f"no image folder at {toy_root / 'toy' / 'images'}" in error_of(toy_root)


def test_missing_images_are_counted_and_the_first_is_named(toy_root: Path) -> None:
    shutil.rmtree(toy_root / "toy" / "images" / "4")
    (toy_root / "toy" / "images" / "3" / "train_5.jpg").unlink()
    message = error_of(toy_root, num_shots=1, seed=1)
    assert f"{1 + 6 + 5 + 3} of {4 * 14 + 6} images are missing" in message
    assert 'the first is "3/train_5.jpg"' in message
    assert not (toy_root / "toy" / "split_fewshot").exists()


def test_a_folder_or_dangling_link_is_not_an_image(toy_root: Path) -> None:
    images = toy_root / "toy" / "images" / "3"
    for name in ("train_1.jpg", "train_2.jpg"):
        (images / name).unlink()
    (images / "train_1.jpg").mkdir()
    (images / "train_2.jpg").symlink_to(images / "nowhere.jpg")
    assert "2 of 62 images are missing" in error_of(toy_root)


def test_linked_images_are_images(toy_root: Path) -> None:
    image = toy_root / "toy" / "images" / "3" / "train_1.jpg"
    image.rename(toy_root / "elsewhere.jpg")
    image.symlink_to(toy_root / "elsewhere.jpg")
    assert len(Toy(root=toy_root).train_x) == 26


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (["3/train_0.jpg", 6, "gap"], "no training image of label 5"),
        (["3/train_0.jpg", 0, "yo-yo"], 'label 0 has two names in .*split_toy.json: "yo-yo" and "crane"'),
        (["../../outside.jpg", 3, "yo-yo"], "leaves the image folder"),
        (["/etc/hostname", 3, "yo-yo"], "is absolute"),
    ],
)
def test_a_broken_split_is_refused(toy_root: Path, entry: list, message: str) -> None:
    change_split(toy_root, "train", 0, entry)
    with pytest.raises(DataError, match=message):
        Toy(root=toy_root)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_split_file_is_refused(toy_root: Path, text: str) -> None:
    (toy_root / "toy" / "split_toy.json").write_text(text)
    assert "split_toy.json" in error_of(toy_root)


def test_seeds_below_minus_one_are_refused(toy_root: Path) -> None:
    with pytest.raises(ConfigError, match="SEED -2"):
        Toy(root=toy_root, seed=-2)


def test_an_unknown_class_subset_is_refused_before_the_disk_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='unknown class subset "old"'):
        Toy(root=tmp_path / "nowhere", subsample_classes="old")


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
