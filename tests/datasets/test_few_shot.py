"""Few-shot picks: those of the benchmark's sampling, and stored ones, which are served for the same split only."""

import json
import random
from pathlib import Path

import pytest

from lamm.datasets import few_shot as few_shot_cache
from lamm.datasets.few_shot import cache_file, cached_few_shot_split, few_shot_split, sample_shots
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


@pytest.mark.parametrize(("shots", "seed"), [(1, 0), (2, 1), (4, 2), (5, 3), (6, 1), (16, 2**40)])
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


def split_with(images: int) -> Split:
    items = [SplitItem(f"{label}/{i}.jpg", label, f"class {label}") for label in range(3) for i in range(images)]
    return Split(items, items, items)


def drawn(split: Split, shots: int, seed: int) -> Split:
    return few_shot_split(split, shots, seed)


def refuse_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("drew instead of reading the cache")

    monkeypatch.setattr(few_shot_cache, "few_shot_split", fail)


def test_picks_are_kept_as_relative_paths_with_the_hash_of_the_split(tmp_path: Path) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    content = json.loads((tmp_path / "split_fewshot" / "lamm_shot_2-seed_1.json").read_text())
    assert [entry[0] for entry in content["train"]] == [item.path for item in drawn(split_with(9), 2, 1).train]
    assert sorted(content) == ["seed", "shots", "split_hash", "train", "val"]


def test_a_second_call_reads_the_kept_picks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_few_shot_split(tmp_path, split_with(9), 2, 0)
    refuse_drawing(monkeypatch)
    assert cached_few_shot_split(tmp_path, split_with(9), 2, 0) == first


def test_a_changed_split_is_drawn_anew_and_replaces_the_kept_picks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    changed = split_with(8)
    assert cached_few_shot_split(tmp_path, changed, 2, 1) == drawn(changed, 2, 1)
    refuse_drawing(monkeypatch)
    assert cached_few_shot_split(tmp_path, changed, 2, 1) is not None


def test_shots_and_seeds_have_files_of_their_own(tmp_path: Path) -> None:
    for shots, seed in [(1, 1), (2, 1), (1, 0)]:
        cached_few_shot_split(tmp_path, split_with(9), shots, seed)
    assert len(list((tmp_path / "split_fewshot").iterdir())) == 3


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"split_hash": 1}', "[" * 100_000])
def test_a_damaged_file_is_drawn_anew(tmp_path: Path, damage: str) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    cache_file(tmp_path, 2, 1).write_text(damage)
    assert cached_few_shot_split(tmp_path, split_with(9), 2, 1) == drawn(split_with(9), 2, 1)


@pytest.mark.parametrize("entry", [["../secret.jpg", 0, "class 0"], ["0/0.jpg", 2, "class 0"], [1], [[], 0, "a"]])
def test_picks_that_are_not_of_the_split_are_not_served(tmp_path: Path, entry: list) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    content = json.loads(cache_file(tmp_path, 2, 1).read_text())
    content["train"][0] = entry
    cache_file(tmp_path, 2, 1).write_text(json.dumps(content))
    assert cached_few_shot_split(tmp_path, split_with(9), 2, 1) == drawn(split_with(9), 2, 1)


def test_unseeded_picks_are_not_kept(tmp_path: Path) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, -1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_one_log_line_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    def refuse(path: object, value: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(few_shot_cache, "write_json", refuse)
    for _ in range(3):
        assert cached_few_shot_split(tmp_path, split_with(9), 2, 1) == drawn(split_with(9), 2, 1)
    assert len(logged) == 1
    assert "few-shot picks are not stored" in logged[0]
