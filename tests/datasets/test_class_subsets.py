"""Base and new classes."""

import pytest

from lamm.datasets.splits import Split, SplitItem, select_classes
from lamm.errors import ConfigError, DataError


def split_of(labels: list[int]) -> Split:
    items = [SplitItem(f"{position}.jpg", label, f"name {label}") for position, label in enumerate(labels)]
    return Split(items, items[:2], items[::-1])


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
