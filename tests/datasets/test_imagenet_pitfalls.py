"""What goes wrong with ImageNet and its variants: repeated names; missing, flat, empty and unknown class folders."""

import re
from pathlib import Path

import pytest

from lamm.datasets import dataset_class
from lamm.datasets.base import BenchmarkDataset
from lamm.errors import DataError
from tests.datasets.miniature_trees import NAMES, SOME_IDS, build_miniature

CLASS_FOLDERS = {
    "imagenet": ["images/train", "images/val"],
    "imagenetv2": ["imagenetv2-matched-frequency-format-val"],
    "imagenet_sketch": ["images"],
    "imagenet_a": ["imagenet-a"],
    "imagenet_r": ["imagenet-r"],
}


def load(name: str, root: Path, **options: object) -> BenchmarkDataset:
    return dataset_class(name)(root=root, **options)


def message_of(name: str, root: Path, **options: object) -> str:
    with pytest.raises(DataError, match=r".") as error:
        load(name, root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["imagenet", "imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"])
def test_classes_with_one_name_stay_apart(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    found = load(name, tmp_path)
    labels = [label for label, classname in enumerate(found.classnames) if classname == "missile"]
    assert len(labels) == 2
    for label, wnid in zip(labels, ("n03773504", "n04008634"), strict=True):
        images = {path for path, of_path in truth.label_of.items() if of_path == label}
        assert {item.impath for item in found.test if item.label == label} <= {
            str(found.image_folder / path) for path in images
        }
        assert sum(item.label == label for item in found.test) > 0
        assert name == "imagenetv2" or all(f"{wnid}/" in path for path in images)


def test_one_name_in_both_halves_is_two_classes(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    first, last = truth.folder / "images" / "train", truth.folder / "images" / "val"
    for part in (first, last):
        for wnid in sorted(set(NAMES) - {"n01440764", "n03773504", "n04008634"}):
            (part / wnid).rename(tmp_path / f"{part.name}_{wnid}")
    assert load("imagenet", tmp_path, subsample_classes="base").classnames == ["tench", "missile"]
    assert load("imagenet", tmp_path, subsample_classes="new").classnames == ["missile"]


def test_a_flat_imagenet_val_is_an_error_that_says_so(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    val = truth.folder / "images" / "val"
    for file in list(val.rglob("*.JPEG")):
        file.rename(val / file.name)
    for folder in [entry for entry in val.iterdir() if entry.is_dir()]:
        folder.rmdir()
    message = message_of("imagenet", tmp_path, num_shots=1, seed=1)
    assert str(val) in message
    assert re.search(r"folder for each class", message)


@pytest.mark.parametrize(("part", "other"), [("val", "train"), ("train", "val")])
def test_a_class_folder_that_one_part_of_imagenet_lacks_is_named(part: str, other: str, tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    (truth.folder / "images" / part / "n01491361").rename(tmp_path / "gone")
    message = message_of("imagenet", tmp_path)
    assert "n01491361" in message
    assert not list(truth.folder.glob("listing_lamm_*"))


def test_an_empty_training_folder_of_imagenet_is_an_error(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    for file in (truth.folder / "images" / "train" / "n01491361").iterdir():
        file.unlink()
    message = message_of("imagenet", tmp_path)
    assert "label 3" in message or "n01491361" in message


def test_an_empty_test_folder_of_imagenet_shifts_no_label(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    for file in (truth.folder / "images" / "val" / "n01491361").iterdir():
        file.unlink()
    found = load("imagenet", tmp_path)
    assert list(found.classnames) == truth.classnames
    images = {Path(item.impath).relative_to(found.image_folder).as_posix(): item.label for item in found.test}
    assert images == {path: truth.label_of[path] for path in images}
    assert set(images.values()) == set(range(12)) - {3}


@pytest.mark.parametrize("name", ["imagenet", "imagenet_sketch", "imagenet_a", "imagenet_r"])
def test_a_class_folder_that_classnames_does_not_know_is_an_error(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    for place in CLASS_FOLDERS[name]:
        known = sorted(entry for entry in (truth.folder / place).iterdir() if entry.is_dir())[0]
        (truth.folder / place / "n02000000").mkdir()
        for image in known.iterdir():
            (truth.folder / place / "n02000000" / image.name).write_bytes(image.read_bytes())
    message = message_of(name, tmp_path)
    assert "n02000000" in message
    assert "classnames.txt" in message


def test_a_sketch_class_without_folder_is_said_since_it_shifts_the_labels(tmp_path: Path, logged: list[str]) -> None:
    truth = build_miniature("imagenet_sketch", tmp_path)
    (truth.folder / "images" / "n01491361").rename(tmp_path / "gone")
    try:
        load("imagenet_sketch", tmp_path)
    except DataError as error:
        logged.append(str(error))
    assert any("n01491361" in line for line in logged)


def test_a_number_that_imagenetv2_lacks_is_an_error(tmp_path: Path) -> None:
    truth = build_miniature("imagenetv2", tmp_path)
    (truth.folder / CLASS_FOLDERS["imagenetv2"][0] / "7").rename(tmp_path / "gone")
    assert "label 7" in message_of("imagenetv2", tmp_path)


def test_a_number_beyond_the_names_of_imagenetv2_is_an_error(tmp_path: Path) -> None:
    truth = build_miniature("imagenetv2", tmp_path)
    images = truth.folder / CLASS_FOLDERS["imagenetv2"][0]
    (images / "7").rename(images / "12")
    message = message_of("imagenetv2", tmp_path)
    assert "12" in message
    assert "classnames.txt" in message


@pytest.mark.parametrize(("name", "prefix"), [("imagenet_a", "imagenet-a"), ("imagenet_r", "imagenet-r")])
def test_labels_of_a_and_r_are_ranks_among_the_classes_present(name: str, prefix: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    (truth.folder / prefix / SOME_IDS[0]).rename(tmp_path / "gone")
    found = load(name, tmp_path)
    assert list(found.classnames) == [NAMES[wnid] for wnid in SOME_IDS[1:]]
    assert {item.label for item in found.test} == {0, 1, 2, 3}


@pytest.mark.parametrize("name", CLASS_FOLDERS)
def test_images_come_class_by_class_in_label_order_and_by_name(name: str, tmp_path: Path) -> None:
    build_miniature(name, tmp_path)
    found = load(name, tmp_path)
    for items in (found.train_x, found.test):
        order = [(item.label, Path(item.impath).name) for item in items]
        assert order == sorted(order)
