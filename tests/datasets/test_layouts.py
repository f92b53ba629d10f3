"""Each of the fifteen data sets, from a miniature of its true layout; and what goes wrong with it in practice."""

import json
import random
import re
from pathlib import Path

import pytest
from scipy.io import loadmat
from yacs.config import CfgNode

from lamm.datasets import BENCHMARK, dataset_class
from lamm.datasets.base import BenchmarkDataset
from lamm.engine.embedded.decoding import read_image
from lamm.errors import DataError
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


# Data set → the folders that hold class folders, below the data set's own.
CLASS_FOLDERS = {
    "caltech101": ["101_ObjectCategories"],
    "dtd": ["images"],
    "food101": ["images"],
    "eurosat": ["2750"],
    "imagenet": ["images/train", "images/val"],
    "imagenetv2": ["imagenetv2-matched-frequency-format-val"],
    "imagenet_sketch": ["images"],
    "imagenet_a": ["imagenet-a"],
    "imagenet_r": ["imagenet-r"],
}


def load(name: str, root: Path, **options: object) -> BenchmarkDataset:
    return dataset_class(name)(root=root, **options)


def names_of(items: list) -> list[str]:
    return ["/".join(Path(item.impath).parts[-2:]) for item in items]


def message_of(name: str, root: Path, **options: object) -> str:
    with pytest.raises(DataError, match=r".") as error:
        load(name, root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def scatter(folder: Path) -> None:
    """What systems and archive programs leave in a folder."""
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "README.txt", "labels.csv", "._image_0001.jpg"):
        (folder / name).write_bytes(b"stray")
    for name in ("__MACOSX", ".ipynb_checkpoints", ".git"):
        (folder / name).mkdir()
        (folder / name / "image_0001.jpg").write_bytes(b"stray")
        (folder / name / "._image_0001.jpg").write_bytes(b"stray")


@pytest.mark.parametrize("name", ["caltech101", "imagenet", "imagenetv2", "imagenet_r"])
def test_stray_entries_are_neither_classes_nor_images(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path / "clean")
    truth = build_miniature(name, tmp_path / "littered")
    for place in CLASS_FOLDERS[name]:
        classes = [entry for entry in (truth.folder / place).iterdir() if entry.is_dir()]
        for folder in (truth.folder / place, *classes):
            scatter(folder)
    clean, littered = (load(name, tmp_path / kind) for kind in ("clean", "littered"))
    assert littered.split_hash == clean.split_hash
    assert list(littered.classnames) == truth.classnames


@pytest.mark.parametrize("name", ["dtd", "imagenet"])
def test_a_linked_class_folder_is_a_class(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path / "data")
    folder = sorted(entry for entry in (truth.folder / CLASS_FOLDERS[name][0]).iterdir() if entry.is_dir())[-1]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert list(load(name, tmp_path / "data").classnames) == truth.classnames


@pytest.mark.parametrize("name", ["caltech101", "imagenet_a"])
def test_a_misspelt_folder_is_an_error_and_nothing_is_created(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    wrong = truth.folder.with_name(f"{truth.folder.name}s")
    truth.folder.rename(wrong)
    before = tree(tmp_path)
    message = message_of(name, tmp_path, num_shots=1, seed=1)
    assert truth.folder.name in message
    assert wrong.name in message
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["sun397"])
def test_an_absent_root_is_named_and_not_created(name: str, tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in message_of(name, tmp_path / "nowhere", num_shots=1, seed=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["stanford_cars", "fgvc_aircraft", "ucf101"])
def test_a_listed_image_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    found = load(name, tmp_path)
    gone = found.test[3]
    Path(gone.impath).unlink()
    for file in truth.folder.glob("split_lamm_*"):
        file.unlink()
    message = message_of(name, tmp_path, num_shots=1, seed=1)
    assert f"1 of {len(truth.label_of)} images" in message
    assert Path(gone.impath).relative_to(found.image_folder).as_posix() in message


@pytest.mark.parametrize("name", ["eurosat"])
def test_an_image_of_the_published_split_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    content = write_published_split(name, truth)
    image_folder = load(name, tmp_path).image_folder
    for path in (content["val"][0][0], content["test"][0][0]):
        (image_folder / path).unlink()
    message = message_of(name, tmp_path)
    assert f"2 of {len(truth.label_of)} images are missing" in message
    assert f'"{content["val"][0][0]}"' in message or f'"{content["test"][0][0]}"' in message


@pytest.mark.parametrize("name", ["dtd", "oxford_flowers", "sun397"])
def test_without_published_split_and_official_files_the_error_says_both(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    for file in sorted(truth.folder.rglob("*")):
        if file.is_file():
            file.unlink()
    message = message_of(name, tmp_path, num_shots=1, seed=1)
    assert PUBLISHED_SPLITS[name] in message
    assert [file for file in truth.folder.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize("name", ["ucf101"])
def test_a_split_file_with_windows_separators_is_read(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    content = write_published_split(name, truth)
    posix = load(name, tmp_path)
    windows = {
        part: [[path.replace("/", "\\"), label, classname] for path, label, classname in entries]
        for part, entries in content.items()
    }
    (truth.folder / PUBLISHED_SPLITS[name]).write_text(json.dumps(windows))
    found = load(name, tmp_path)
    assert found.split_hash == posix.split_hash
    assert [item.impath for item in found.train_x] == [item.impath for item in posix.train_x]


@pytest.mark.parametrize("name", ["caltech101", "stanford_cars", "fgvc_aircraft"])
def test_what_is_written_has_forward_slashes_and_relative_paths(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    load(name, tmp_path, num_shots=2, seed=1)
    written = [file for file in truth.folder.rglob("*lamm*") if file.is_file()]
    assert written
    for file in written:
        content = json.loads(file.read_bytes())
        for path, _, _ in [entry for part in ("train", "val") for entry in content[part]]:
            assert path in truth.label_of


@pytest.mark.parametrize("name", ["food101", "fgvc_aircraft", "imagenet"])
def test_a_moved_root_keeps_split_and_picks(name: str, tmp_path: Path) -> None:
    build_miniature(name, tmp_path / "here")
    before = load(name, tmp_path / "here", num_shots=2, seed=1)
    picks = names_of(before.train_x)
    (tmp_path / "here").rename(tmp_path / "there")
    after = load(name, tmp_path / "there", num_shots=2, seed=1)
    assert names_of(after.train_x) == picks
    assert all(item.impath.startswith(str(tmp_path / "there")) for item in [*after.train_x, *after.test])


def test_seed_zero_is_drawn_with_zero_and_kept_as_such(tmp_path: Path) -> None:
    truth = build_miniature("dtd", tmp_path)
    split = dataset_class("dtd").split_on_disk(tmp_path)
    found = load("dtd", tmp_path, num_shots=2, seed=0)
    rng = random.Random(0)
    assert names_of(found.train_x) == few_shot([(item.path, item.label) for item in split.train], 2, rng)
    assert names_of(found.val) == few_shot([(item.path, item.label) for item in split.val], 2, rng)
    assert [file.name for file in (truth.folder / "split_fewshot").iterdir()] == ["lamm_shot_2-seed_0.json"]


def test_an_unseeded_draw_is_kept_nowhere(tmp_path: Path) -> None:
    truth = build_miniature("eurosat", tmp_path)
    load("eurosat", tmp_path, num_shots=1, seed=-1)
    assert not (truth.folder / "split_fewshot").exists()
    draws = {tuple(names_of(load("eurosat", tmp_path, num_shots=1, seed=-1).train_x)) for _ in range(8)}
    assert len(draws) > 1


def without_label(truth: Truth, name: str, part: str, label: int) -> None:
    content = write_published_split(name, truth)
    content[part] = [entry for entry in content[part] if entry[1] != label]
    (truth.folder / PUBLISHED_SPLITS[name]).write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["dtd", "oxford_pets"])
def test_a_gap_in_the_training_labels_is_an_error(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    without_label(truth, name, "train", 1)
    for subset in ("all", "base", "new"):
        message = message_of(name, tmp_path, subsample_classes=subset)
        assert "label 1" in message
        assert PUBLISHED_SPLITS[name] in message


def test_a_class_without_test_images_is_no_gap(tmp_path: Path) -> None:
    truth = build_miniature("eurosat", tmp_path)
    without_label(truth, "eurosat", "test", 3)
    found = load("eurosat", tmp_path)
    assert (found.num_classes, list(found.classnames)) == (10, truth.classnames)


@pytest.mark.parametrize("damage", [b"", b"no image at all", None])
def test_a_broken_image_is_named_when_it_is_read(damage: bytes | None, tmp_path: Path) -> None:
    build_miniature("eurosat", tmp_path)
    first, second = load("eurosat", tmp_path).train_x[:2]
    whole = Path(first.impath).read_bytes()
    Path(first.impath).write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    broken = load("eurosat", tmp_path).train_x[0]
    with pytest.raises(DataError, match=re.escape(broken.impath)):
        read_image(broken.impath)
    assert read_image(second.impath).size == (24, 16)
