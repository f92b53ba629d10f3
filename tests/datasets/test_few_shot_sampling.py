"""Few-shot picks against a slow transcription of the benchmark's sampling, which uses Python's global generator."""

import random

import pytest

from lamm.datasets.few_shot import few_shot_split, sample_shots
from lamm.datasets.splits import Split, SplitItem


def reference_picks(content: dict[str, list], shots: int, seed: int) -> tuple[list[str], list[str]]:
    """Seed the global generator, then draw train and val label by label in the order the labels are first met."""
    before = random.getstate()
    random.seed(seed)
    picked = []
    for part, wanted in (("train", shots), ("val", 4 if shots > 4 else shots)):
        seen_labels = []
        for _, label, _ in content[part]:
            if label not in seen_labels:
                seen_labels.append(label)
        paths = []
        for label in seen_labels:
            of_label = [path for path, other, _ in content[part] if other == label]
            if len(of_label) >= wanted:
                of_label = random.sample(of_label, wanted)
            paths.extend(of_label)
        picked.append(paths)
    random.setstate(before)
    return picked[0], picked[1]


def as_split(content: dict[str, list]) -> Split:
    return Split(*([SplitItem(*entry) for entry in content[part]] for part in ("train", "val", "test")))


def paths_of(items: list[SplitItem]) -> list[str]:
    return [item.path for item in items]


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 2**40])
@pytest.mark.parametrize("shots", [1, 2, 3, 4, 5, 6, 16])
def test_picks_equal_those_of_the_seeded_global_generator(toy_content: dict, shots: int, seed: int) -> None:
    drawn = few_shot_split(as_split(toy_content), shots, seed)
    assert (paths_of(drawn.train), paths_of(drawn.val)) == reference_picks(toy_content, shots, seed)


def test_the_transcription_met_a_class_drawn_whole_in_shuffled_order(toy_content: dict) -> None:
    train, _ = reference_picks(toy_content, 6, 1)
    first_class = [path for path in train if path.startswith("3/")]
    assert sorted(first_class) == [f"3/train_{i}.jpg" for i in range(6)] != first_class


def test_a_class_with_too_few_images_is_taken_whole_and_draws_nothing() -> None:
    items = [SplitItem(f"{i}.jpg", 0, "a") for i in range(3)]
    rng = random.Random(5)
    assert sample_shots(items, 4, rng) == items
    assert rng.getstate() == random.Random(5).getstate()


def test_test_images_are_never_sampled(toy_content: dict) -> None:
    split = as_split(toy_content)
    assert few_shot_split(split, 1, 1).test == split.test


def test_the_global_generator_is_left_alone(toy_content: dict) -> None:
    before = random.getstate()
    few_shot_split(as_split(toy_content), 2, 1)
    few_shot_split(as_split(toy_content), 2, -1)
    assert random.getstate() == before


def test_without_a_seed_draws_differ() -> None:
    items = [SplitItem(f"{i}.jpg", 0, "a") for i in range(1000)]
    split = Split(items, [], items)
    assert few_shot_split(split, 20, -1) != few_shot_split(split, 20, -1)


def test_seed_zero_is_a_seed(toy_content: dict) -> None:
    first, second = (few_shot_split(as_split(toy_content), 3, 0) for _ in range(2))
    assert first == second
