"""Which of someone's own images are trained and tested on: sizes, the file that keeps it, photos that join and go."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from lamm.datasets import dataset_class
from lamm.datasets.base import BenchmarkDataset
from lamm.errors import DataError
from tests.datasets.miniature_files import PETS, label_by_path, make_folders, paths_by_part, write_images
from tests.datasets.simulated_disks import list_in_another_order, make_read_only, tree

KEPT = "split_lamm_folder.json"


def load(root: Path, **options: Any) -> BenchmarkDataset:
    return dataset_class("folder")(root=root, **options)


def message_of(root: Path, **options: Any) -> str:
    with pytest.raises(DataError, match=r".") as error:
        load(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Three classes of five photos."""
    return make_folders(tmp_path / "my photos", dict.fromkeys(PETS, 5))


@pytest.mark.parametrize(
    ("count", "parts"),
    [
        (1, (1, 0, 0)), (2, (1, 0, 1)), (3, (2, 0, 1)), (5, (4, 0, 1)), (6, (4, 1, 1)), (8, (5, 1, 2)),
        (10, (7, 1, 2)), (13, (9, 1, 3)), (15, (10, 2, 3)), (25, (18, 2, 5)), (40, (28, 4, 8)),
    ],
)  # fmt: skip
def test_a_fifth_is_for_testing_and_a_tenth_for_validation(
    count: int, parts: tuple[int, int, int], tmp_path: Path
) -> None:
    found = paths_by_part(load(make_folders(tmp_path / "data", {"one": count, "other": 4})))
    of_class = [{path for path in found[part] if path.startswith("one/")} for part in ("train", "val", "test")]
    assert tuple(map(len, of_class)) == parts
    assert len(set.union(*of_class)) == count


def test_the_parts_are_random_and_each_class_has_its_own(tmp_path: Path) -> None:
    found = paths_by_part(load(make_folders(tmp_path / "data", {"a": 40, "b": 40})))
    tested = [{path.removeprefix(f"{name}/") for path in found["test"] if path.startswith(name)} for name in "ab"]
    assert tested[0] != tested[1]
    assert tested[0] not in ({f"photo {n}.jpg" for n in range(1, 9)}, {f"photo {n}.jpg" for n in range(33, 41)})


def test_the_parts_are_kept_as_relative_paths(pets: Path) -> None:
    found = paths_by_part(load(pets))
    content = json.loads((pets / KEPT).read_bytes())
    assert {
        part: {entry if isinstance(entry, str) else entry[0] for entry in content[part]} for part in content
    } == found
    assert [entry.name for entry in pets.iterdir() if entry.is_file()] == [KEPT]
    before = tree(pets)
    assert paths_by_part(load(pets)) == found
    assert tree(pets) == before


def test_photos_that_join_get_a_part_and_the_others_keep_theirs(pets: Path) -> None:
    before = load(pets)
    old = paths_by_part(before)
    write_images(pets / "cat", [f"another {number}.jpg" for number in range(5)])
    after = load(pets)
    new = paths_by_part(after)
    assert all(old[part] <= new[part] for part in old)
    of_cats = {part: {path for path in new[part] if path.startswith("cat/")} for part in new}
    assert {part: len(paths) for part, paths in of_cats.items()} == {"train": 7, "val": 1, "test": 2}
    assert after.split_hash != before.split_hash
    assert paths_by_part(load(pets)) == new


def test_a_single_photo_that_joins_leaves_the_others_where_they_are(pets: Path) -> None:
    for number in range(12):
        old = paths_by_part(load(pets))
        write_images(pets / "dog", [f"{number}.jpg"])
        new = paths_by_part(load(pets))
        assert all(old[part] <= new[part] for part in old)


def test_photos_that_go_leave_the_others_where_they_are(pets: Path) -> None:
    old = paths_by_part(load(pets))
    gone = sorted(path for path in old["train"] if path.startswith("dog/"))[0]
    (pets / gone).unlink()
    new = paths_by_part(load(pets))
    assert new == {part: paths - {gone} for part, paths in old.items()}


def test_a_class_that_joins_changes_labels_but_no_photos_part(pets: Path) -> None:
    old = paths_by_part(load(pets))
    make_folders(pets, {"Axolotl": 6})
    dataset = load(pets)
    assert list(dataset.classnames) == ["Axolotl", *PETS]
    assert all(old[part] <= paths_by_part(dataset)[part] for part in old)
    assert {path: name for path, name in label_by_path(dataset).items() if not path.startswith("Axolotl")} == {
        path: path.split("/")[0] for part in old.values() for path in part
    }


def test_few_shot_picks_of_changed_photos_are_drawn_anew(pets: Path) -> None:
    picked = paths_by_part(load(pets, num_shots=2, seed=1))["train"]
    for path in picked:
        if path.startswith("cat/"):
            (pets / path).unlink()
    again = paths_by_part(load(pets, num_shots=2, seed=1))["train"]
    assert sum(path.startswith("cat/") for path in again) == 2
    assert all((pets / path).is_file() for path in again)


def test_the_listing_order_of_the_system_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for seed in range(3):
        root = make_folders(tmp_path / str(seed), {"a": 9, "b": 14, "c": 5})
        with monkeypatch.context() as patched:
            list_in_another_order(patched, seed)
            dataset = load(root, num_shots=2, seed=1)
            found.append((dataset.split_hash, paths_by_part(dataset)))
    assert found[0] == found[1] == found[2]


def test_pythons_global_generator_neither_decides_nor_moves(tmp_path: Path) -> None:
    before = random.getstate()
    try:
        found = []
        for state in (1, 2):
            root = make_folders(tmp_path / str(state), {"a": 9, "b": 14})
            random.seed(state)
            seeded = random.getstate()
            found.append(paths_by_part(load(root)))
            assert random.getstate() == seeded
        assert found[0] == found[1]
    finally:
        random.setstate(before)


def test_a_read_only_folder_has_the_same_parts_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    written, refused = (make_folders(tmp_path / name, {"a": 9, "b": 14}) for name in ("written", "refused"))
    wanted = paths_by_part(load(written, num_shots=3, seed=1))
    before = tree(refused)
    logged.clear()
    make_read_only(monkeypatch, refused)
    for _ in range(2):
        assert paths_by_part(load(refused, num_shots=3, seed=1)) == wanted
    assert tree(refused) == before
    assert any("not stored" in line and str(refused) in line for line in logged)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"train": []}', '{"train": 3, "val": [], "test": []}'])
def test_a_damaged_kept_split_is_named_and_not_replaced(text: str, pets: Path) -> None:
    load(pets)
    (pets / KEPT).write_text(text)
    assert KEPT in message_of(pets)
    assert (pets / KEPT).read_text() == text


def test_better_names_change_no_photos_part(pets: Path) -> None:
    before = paths_by_part(load(pets))
    (pets / "classnames.txt").write_text("cat\thouse cat\ndog\thouse dog\nguinea pig\tpig\n")
    assert paths_by_part(load(pets)) == before
    (pets / KEPT).unlink()
    assert paths_by_part(load(pets)) == before
