"""Each of the fifteen data sets, from a miniature of its true layout: labels, names, parts, published splits."""

import random
from pathlib import Path

import pytest
from scipy.io import loadmat
from yacs.config import CfgNode

from lamm.datasets import BENCHMARK, dataset_class
from tests.datasets.miniature_trees import MINIATURES, PUBLISHED_SPLITS, Truth, build_miniature, write_published_split
from tests.datasets.simulated_disks import tree
from tests.reference.published_rules import few_shot

VARIANTS = ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")
WITH_PARTS = tuple(name for name in MINIATURES if name not in VARIANTS)
# Data set → what follows its folder.
PREFIXES = {
    "caltech101": "101_ObjectCategories",
    "oxford_pets": "images",
    "stanford_cars": "",
    "oxford_flowers": "jpg",
    "food101": "images",
    "fgvc_aircraft": "images",
    "sun397": "SUN397",
    "dtd": "images",
    "eurosat": "2750",
    "ucf101": "UCF-101-midframes",
    "imagenet": "images",
    "imagenetv2": "imagenetv2-matched-frequency-format-val",
    "imagenet_sketch": "images",
    "imagenet_a": "imagenet-a",
    "imagenet_r": "imagenet-r",
}


def relative(name: str, truth: Truth, items: list) -> list[str]:
    """The paths of data, relative to the image prefix."""
    images = truth.folder / PREFIXES[name]
    return [Path(item.impath).relative_to(images).as_posix() for item in items]


def paths_on_disk(name: str, root: Path) -> dict[str, list[str]]:
    split = dataset_class(name).split_on_disk(root)
    return {part: [item.path for item in getattr(split, part)] for part in ("train", "val", "test")}


def triples(items: list) -> list[list]:
    return [[item.path, item.label, item.classname] for item in items]


def test_there_is_a_miniature_of_every_data_set_of_the_benchmark() -> None:
    assert set(MINIATURES) == set(BENCHMARK)
    assert len(MINIATURES) == 15


@pytest.mark.parametrize("name", MINIATURES)
def test_a_data_set_is_what_its_layout_says(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    dataset = dataset_class(name)(root=tmp_path)
    assert (dataset.folder, dataset.image_folder) == (truth.folder, truth.folder / PREFIXES[name])
    assert list(dataset.classnames) == truth.classnames
    assert dataset.num_classes == len(truth.classnames)
    assert dataset.lab2cname == dict(enumerate(truth.classnames))
    found = {}
    for items in (dataset.train_x, dataset.val or [], dataset.test):
        for path, item in zip(relative(name, truth, items), items, strict=True):
            assert found.setdefault(path, item.label) == item.label
            assert (item.classname, item.domain) == (truth.classnames[item.label], 0)
    assert found == truth.label_of


@pytest.mark.parametrize("name", MINIATURES)
def test_parts_are_the_official_ones_or_have_the_sizes_of_the_rule(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    parts = paths_on_disk(name, tmp_path)
    assert tuple(map(len, parts.values())) == truth.sizes
    for part, paths in (truth.official or {}).items():
        assert set(parts[part]) == paths
    if name in WITH_PARTS:
        assert sorted(path for part in parts.values() for path in part) == sorted(truth.label_of)
        for part in parts.values():
            assert {truth.label_of[path] for path in part} == set(range(len(truth.classnames))) or not part


@pytest.mark.parametrize("name", ["dtd", "oxford_pets", "fgvc_aircraft", "imagenet"])
def test_a_config_gives_the_few_shot_picks_of_the_published_code(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    split = dataset_class(name).split_on_disk(tmp_path)
    cfg = CfgNode({"DATASET": {"ROOT": str(tmp_path), "NUM_SHOTS": 2, "SUBSAMPLE_CLASSES": "all"}, "SEED": 3})
    dataset = dataset_class(name)(cfg)
    rng = random.Random(3)
    train = few_shot([(item.path, item.label) for item in split.train], 2, rng)
    assert relative(name, truth, dataset.train_x) == train
    if name == "imagenet":
        assert dataset.val is dataset.test
    else:
        val = few_shot([(item.path, item.label) for item in split.val], 2, rng)
        assert relative(name, truth, dataset.val) == val
    assert relative(name, truth, dataset.test) == [item.path for item in split.test]


@pytest.mark.parametrize("name", ["dtd", "oxford_flowers", "imagenet"])
def test_halves_of_the_classes_cover_them_and_count_from_zero(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    base, new = (dataset_class(name)(root=tmp_path, subsample_classes=half) for half in ("base", "new"))
    half = (len(truth.classnames) + 1) // 2
    assert (base.classnames, new.classnames) == (truth.classnames[:half], truth.classnames[half:])
    for subset, first in ((base, 0), (new, half)):
        for items in (subset.train_x, subset.val, subset.test):
            labels = [truth.label_of[path] - first for path in relative(name, truth, items)]
            assert [item.label for item in items] == labels
            assert set(labels) == set(range(subset.num_classes))


@pytest.mark.parametrize("name", PUBLISHED_SPLITS)
def test_the_published_split_comes_before_the_rule(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    content = write_published_split(name, truth)
    before = tree(tmp_path)
    split = dataset_class(name).split_on_disk(tmp_path)
    assert {part: triples(getattr(split, part)) for part in content} == content
    dataset = dataset_class(name)(root=tmp_path)
    assert list(dataset.classnames) == truth.classnames
    assert relative(name, truth, dataset.train_x) == [path for path, _, _ in content["train"]]
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["dtd", "ucf101"])
def test_a_published_split_that_joins_later_replaces_the_one_made_here(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    of_rule = dataset_class(name)(root=tmp_path, num_shots=2, seed=1)
    content = write_published_split(name, truth)
    published = dataset_class(name)(root=tmp_path, num_shots=2, seed=1)
    assert published.split_hash != of_rule.split_hash
    assert (of_rule.split_made_here, published.split_made_here) == (True, False)
    drawn = few_shot([(path, label) for path, label, _ in content["train"]], 2, random.Random(1))
    assert relative(name, truth, published.train_x) == drawn


@pytest.mark.parametrize("name", ["oxford_pets", "oxford_flowers", "stanford_cars"])
def test_a_published_split_needs_no_annotation_files(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    write_published_split(name, truth)
    for file in truth.folder.rglob("*"):
        if file.suffix in (".mat", ".txt") or file.name == "cat_to_name.json":
            file.unlink()
    assert list(dataset_class(name)(root=tmp_path).classnames) == truth.classnames


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_all_test_images_whatever_the_shots_and_classes(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    dataset = dataset_class(name)(root=tmp_path, num_shots=1, seed=1, subsample_classes="base")
    assert dataset.val is None
    assert relative(name, truth, dataset.train_x) == relative(name, truth, dataset.test)
    assert set(relative(name, truth, dataset.test)) == set(truth.label_of)
    assert list(dataset.classnames) == truth.classnames


@pytest.mark.parametrize("name", ["imagenet_a"])
def test_a_variant_may_take_its_names_from_imagenet_beside_it(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    (tmp_path / "imagenet").mkdir()
    (truth.folder / "classnames.txt").rename(tmp_path / "imagenet" / "classnames.txt")
    assert list(dataset_class(name)(root=tmp_path).classnames) == truth.classnames


def test_all_data_sets_live_under_one_root(tmp_path: Path) -> None:
    truths = {name: build_miniature(name, tmp_path) for name in MINIATURES}
    for name, truth in truths.items():
        assert list(dataset_class(name)(root=tmp_path).classnames) == truth.classnames


def test_matlab_files_of_the_miniatures_are_read_as_the_published_code_indexes_them(tmp_path: Path) -> None:
    cars = build_miniature("stanford_cars", tmp_path)
    annotations = loadmat(str(cars.folder / "devkit" / "cars_train_annos.mat"))["annotations"][0]
    assert annotations[4]["fname"][0] == "00005.jpg"
    assert annotations[4]["class"][0, 0] - 1 == cars.label_of["cars_train/00005.jpg"]
    class_names = loadmat(str(cars.folder / "devkit" / "cars_meta.mat"))["class_names"]
    assert class_names[0][2][0] == "Ram C/V Cargo Van Minivan 2012"
    flowers = build_miniature("oxford_flowers", tmp_path)
    labels = loadmat(str(flowers.folder / "imagelabels.mat"))["labels"][0]
    assert [int(label) - 1 for label in labels] == list(flowers.label_of.values())
