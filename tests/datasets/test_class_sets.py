"""Base and new classes, the sets of classes that are learned one after the other, and what a data set gives of them."""

from pathlib import Path

import pytest
from yacs.config import CfgNode

from lamm.datasets.demo import CLASS_NAMES, Digits
from lamm.datasets.imagenet import ImageNetV2
from lamm.datasets.splits import Split, SplitItem, class_names, class_sets, select_classes
from lamm.errors import ConfigError, DataError


def split_of(labels: list[int]) -> Split:
    items = [SplitItem(f"{position}.jpg", label, f"name {label}") for position, label in enumerate(labels)]
    return Split(items, items[:2], items[::-1])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("class_sets")
    Digits(root=root)
    return root


@pytest.mark.parametrize(
    ("classes", "sets", "sizes"),
    [(10, 2, [5, 5]), (37, 2, [19, 18]), (10, 3, [4, 3, 3]), (11, 4, [3, 3, 3, 2]), (4, 4, [1, 1, 1, 1]), (7, 1, [7])],
)
def test_sets_are_consecutive_and_the_first_are_larger(classes: int, sets: int, sizes: list[int]) -> None:
    made = class_sets(split_of(list(range(classes))), sets)
    assert [len(class_names(part)) for part in made] == sizes
    assert [name for part in made for name in class_names(part)] == [f"name {label}" for label in range(classes)]
    assert all([item.label for item in part.train] == list(range(len(part.train))) for part in made)


def test_two_sets_are_the_base_and_the_new_classes() -> None:
    split = split_of([4, 0, 3, 1, 2, 4])
    assert class_sets(split, 2) == [select_classes(split, "base"), select_classes(split, "new")]


def test_one_set_is_the_split() -> None:
    split = split_of([2, 0, 1])
    assert class_sets(split, 1) == [split]


def test_more_sets_than_classes_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"INCREMENTAL\.STEPS is 4, but there are 3 classes"):
        class_sets(split_of([0, 1, 2, 2]), 4)


def test_a_step_has_the_picks_that_all_classes_would_have(root: Path) -> None:
    whole = Digits(root=root, num_shots=3, seed=2)
    steps = [Digits(root=root, num_shots=3, seed=2, steps=3, step=step) for step in (1, 2, 3)]
    picked = {item.impath for dataset in steps for item in dataset.train_x}
    assert picked == {item.impath for item in whole.train_x}
    assert sum(len(dataset.train_x) for dataset in steps) == len(whole.train_x) == 30
    assert {dataset.split_hash for dataset in steps} == {whole.split_hash}


def test_a_step_knows_the_classes_and_test_images_of_the_steps_before(root: Path) -> None:
    whole = Digits(root=root, num_shots=1, seed=1)
    dataset = Digits(root=root, num_shots=1, seed=1, steps=3, step=2)
    assert [seen.class_names for seen in dataset.seen_sets] == [list(CLASS_NAMES[:4]), list(CLASS_NAMES[4:7])]
    assert list(dataset.classnames) == list(CLASS_NAMES[4:7])
    for seen, first in zip(dataset.seen_sets, (0, 4), strict=True):
        labels = range(first, first + len(seen.class_names))
        for part, items in (("val", seen.val), ("test", seen.test)):
            expected = [(item.impath, item.label - first) for item in getattr(whole, part) if item.label in labels]
            assert [(item.impath, item.label) for item in items] == expected
    assert [item.impath for item in dataset.seen_sets[-1].test] == [item.impath for item in dataset.test]


def test_the_config_says_the_step(root: Path) -> None:
    content = {"DATASET": {"ROOT": str(root), "NUM_SHOTS": 1}, "SEED": 1, "INCREMENTAL": {"STEPS": 2, "STEP": 2}}
    assert list(Digits(CfgNode(content)).classnames) == list(CLASS_NAMES[5:])


def test_without_steps_there_are_no_sets(root: Path) -> None:
    assert not Digits(root=root, num_shots=1, seed=1).seen_sets


@pytest.mark.parametrize("step", [0, 3])
def test_a_step_that_does_not_exist_is_an_error(root: Path, step: int) -> None:
    with pytest.raises(ConfigError, match=rf"INCREMENTAL\.STEP is {step}: it must be from 1 to"):
        Digits(root=root, num_shots=1, seed=1, steps=2, step=step)


def test_data_for_testing_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ImageNetV2 is for testing only"):
        ImageNetV2(root=tmp_path, steps=2, step=1)


def labels_of(split: Split) -> list[int]:
    return [item.label for item in split.train]


def test_all_is_the_split_itself() -> None:
    split = split_of([2, 0, 1])
    assert select_classes(split, "all") is split


@pytest.mark.parametrize(("classes", "base"), [(1, 1), (2, 1), (3, 2), (37, 19), (100, 50), (397, 199)])
def test_base_is_the_larger_half(classes: int, base: int) -> None:
    split = split_of(list(range(classes)))
    assert labels_of(select_classes(split, "base")) == list(range(base))
    if classes > 1:
        assert labels_of(select_classes(split, "new")) == list(range(classes - base))


def test_halves_go_by_label_and_keep_order_and_names() -> None:
    split = split_of([4, 0, 3, 1, 2, 4])
    base, new = select_classes(split, "base"), select_classes(split, "new")
    assert [tuple(item) for item in base.train] == [
        ("1.jpg", 0, "name 0"),
        ("3.jpg", 1, "name 1"),
        ("4.jpg", 2, "name 2"),
    ]
    assert [tuple(item) for item in new.train] == [
        ("0.jpg", 1, "name 4"),
        ("2.jpg", 0, "name 3"),
        ("5.jpg", 1, "name 4"),
    ]
    assert [tuple(item) for item in new.test] == [
        ("5.jpg", 1, "name 4"),
        ("2.jpg", 0, "name 3"),
        ("0.jpg", 1, "name 4"),
    ]
    assert [tuple(item) for item in new.val] == [("0.jpg", 1, "name 4")]


def test_labels_with_gaps_are_numbered_from_zero() -> None:
    assert labels_of(select_classes(split_of([10, 70, 30, 50]), "new")) == [1, 0]


def test_new_of_one_class_is_an_error() -> None:
    with pytest.raises(DataError, match='the subset "new" has none'):
        select_classes(split_of([0, 0]), "new")


def test_an_unknown_subset_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match='unknown class subset "bse"; did you mean "base"'):
        select_classes(split_of([0, 1]), "bse")
