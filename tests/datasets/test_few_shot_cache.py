"""Kept few-shot picks: served for the same split only, harmless where nothing can be written."""

import json
from pathlib import Path

import pytest

from lamm.datasets import few_shot as few_shot_cache
from lamm.datasets.few_shot import cache_file, cached_few_shot_split, few_shot_split
from lamm.datasets.splits import Split, SplitItem


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
