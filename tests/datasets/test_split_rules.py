"""The two rules by number: how many images of a class go to train, val and test."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.datasets.splits import SplitItem, read_split
from lamm.datasets.splitters import split_50_20_30, split_80_20
from lamm.errors import DataError

SEED = 1


def trainval_of(count: int) -> list[SplitItem]:
    return [SplitItem(f"{number}.jpg", 0, "yo-yo") for number in range(count)]


@pytest.mark.parametrize(
    ("count", "cut"),
    [(4, (2, 1, 1)), (5, (2, 1, 2)), (7, (4, 1, 2)), (13, (6, 3, 4)), (15, (8, 3, 4)), (45, (22, 9, 14))],
)
def test_half_and_a_fifth_are_rounded_ties_to_even(count: int, cut: tuple[int, int, int]) -> None:
    parts = split_50_20_30(range(count), random.Random(SEED))
    assert tuple(map(len, parts)) == cut
    assert sorted(number for part in parts for number in part) == list(range(count))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_fewer_than_four_images_would_leave_a_part_empty(count: int) -> None:
    with pytest.raises(DataError, match=rf"{count} images of a class are too few .* at least 4"):
        split_50_20_30(range(count), random.Random(SEED))


@pytest.mark.parametrize(("count", "val"), [(3, 1), (7, 1), (8, 2), (12, 2), (13, 3), (50, 10)])
def test_a_fifth_of_the_official_training_images_is_for_validation(count: int, val: int) -> None:
    parts = split_80_20(trainval_of(count), random.Random(SEED))
    assert [len(part) for part in parts] == [count - val, val]
    assert sorted([*parts[0], *parts[1]]) == sorted(trainval_of(count))


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_official_training_images_leave_none_for_validation(count: int) -> None:
    with pytest.raises(DataError, match=rf'{count} training images of class "yo-yo" are too few .* at least 3'):
        split_80_20(trainval_of(count), random.Random(SEED))


@pytest.mark.parametrize("name", ["Caltech101", "DescribableTextures", "EuroSAT", "OxfordFlowers"])
def test_half_and_a_fifth_give_the_published_count_of_every_class(
    name: str, real_split_file: Callable[[str], Path]
) -> None:
    published = read_split(real_split_file(name))
    counts = [Counter(item.label for item in part) for part in (published.train, published.val, published.test)]
    for label in counts[0]:
        of_class = [count[label] for count in counts]
        assert [len(part) for part in split_50_20_30(range(sum(of_class)), random.Random(SEED))] == of_class


@pytest.mark.parametrize("name", ["OxfordPets", "StanfordCars", "UCF101"])
def test_a_fifth_gives_the_published_validation_count_of_every_class(
    name: str, real_split_file: Callable[[str], Path]
) -> None:
    published = read_split(real_split_file(name))
    trainval = [SplitItem(*item) for item in [*published.train, *published.val]]
    parts = split_80_20(trainval, random.Random(SEED))
    for found, wanted in zip(parts, (published.train, published.val), strict=True):
        assert Counter(item.label for item in found) == Counter(item.label for item in wanted)
