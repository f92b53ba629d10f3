"""A folder of someone's own images, a sub-folder a class: classes, parts, what is kept, and how mistakes are told."""

import os
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from lamm.datasets import dataset_class
from lamm.datasets.base import BenchmarkDataset
from lamm.errors import DataError
from tests.datasets.miniature_files import PETS, label_by_path, make_folders, paths_by_part, write_images

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


def test_three_classes_of_five_photos_just_work(pets: Path) -> None:
    dataset = load(pets, num_shots=4, seed=1)
    assert list(dataset.classnames) == list(PETS)
    assert (len(dataset.train_x), dataset.val, len(dataset.test)) == (12, None, 3)
    assert label_by_path(dataset) == {f"{name}/photo {number}.jpg": name for name in PETS for number in range(1, 6)}


def test_a_config_says_the_same(pets: Path) -> None:
    cfg = CfgNode({"DATASET": {"ROOT": str(pets), "NUM_SHOTS": 2}, "SEED": 1})
    assert paths_by_part(dataset_class("folder")(cfg)) == paths_by_part(load(pets, num_shots=2, seed=1))


def test_few_shot_runs_leave_no_class_behind(pets: Path) -> None:
    for _ in range(2):
        assert list(load(pets, num_shots=1, seed=1).classnames) == list(PETS)
    assert (pets / "split_fewshot").is_dir()


def test_images_below_a_class_folder_belong_to_it(pets: Path) -> None:
    write_images(pets / "cat", ["2023/may/a.jpg", "2023/may/photo 1.jpg", "2023/b.JPG", "c.PNG", "d.webp", "e.Jpeg"])
    found = label_by_path(load(pets))
    assert {path for path, name in found.items() if name == "cat"} == {
        *(f"cat/photo {number}.jpg" for number in range(1, 6)),
        "cat/2023/may/a.jpg", "cat/2023/may/photo 1.jpg", "cat/2023/b.JPG", "cat/c.PNG", "cat/d.webp", "cat/e.Jpeg",
    }  # fmt: skip


def test_stray_entries_are_neither_classes_nor_images(pets: Path) -> None:
    clean = load(pets).split_hash
    for folder in (pets, pets / "cat"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", "._photo 1.jpg", ".hidden.jpg", "clip.mp4"):
            (folder / name).write_bytes(b"stray")
        for name in ("__MACOSX", ".thumbnails", "@eaDir"):
            write_images(folder / name, ["photo 1.jpg"])
    (pets / "loose.jpg").write_bytes(b"an image beside the classes")
    (pets / "empty class").mkdir()
    assert load(pets).split_hash == clean


def test_an_empty_class_folder_is_said(pets: Path, logged: list[str]) -> None:
    (pets / "zebra").mkdir()
    (pets / "zebra" / "notes.txt").write_text("to do")
    assert list(load(pets).classnames) == list(PETS)
    assert any("zebra" in line for line in logged)


def test_a_link_that_leads_back_is_not_followed_for_ever(pets: Path) -> None:
    (pets / "cat" / "back").symlink_to(pets / "cat", target_is_directory=True)
    assert sum(name == "cat" for name in label_by_path(load(pets)).values()) == 5


def test_linked_classes_and_photos_are_read(pets: Path, tmp_path: Path) -> None:
    (pets / "cat").rename(tmp_path / "elsewhere")
    (pets / "cat").symlink_to(tmp_path / "elsewhere")
    (pets / "dog" / "photo 1.jpg").rename(tmp_path / "one.jpg")
    (pets / "dog" / "photo 1.jpg").symlink_to(tmp_path / "one.jpg")
    assert len(label_by_path(load(pets))) == 15


def test_class_names_are_the_folders_by_code_point(tmp_path: Path) -> None:
    names = ["zebra", "Übergang", "Zebra", "rote Äpfel", "a.b", "2", "10", "crème brûlée", "日本"]
    dataset = load(make_folders(tmp_path / "data", dict.fromkeys(names, 3)))
    assert list(dataset.classnames) == sorted(names)
    assert dataset.classnames[:3] == ["10", "2", "Zebra"]


def in_parts(root: Path, parts: dict[str, dict[str, int]]) -> Path:
    for part, counts in parts.items():
        make_folders(root / part, counts)
    return root


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("train", "valid", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "dev", "Test"),
    ],
)
def test_folders_for_the_parts_are_taken_as_they_are(train: str, val: str, test: str, tmp_path: Path) -> None:
    root = in_parts(tmp_path / "data", {train: {"a": 3, "b": 2}, val: {"a": 1, "b": 2}, test: {"b": 1, "a": 4}})
    dataset = load(root)
    assert [len(items) for items in (dataset.train_x, dataset.val, dataset.test)] == [5, 3, 5]
    assert {path.split("/")[0] for path in paths_by_part(dataset)["val"]} == {val}
    assert all(path.split("/")[1] == name for path, name in label_by_path(dataset).items())
    assert not (root / KEPT).exists()


def test_train_and_test_folders_alone_mean_no_validation(tmp_path: Path) -> None:
    dataset = load(in_parts(tmp_path / "data", {"train": {"a": 3, "b": 2}, "test": {"a": 1, "b": 1}}))
    assert (len(dataset.train_x), dataset.val, len(dataset.test)) == (5, None, 2)


def test_train_and_val_folders_alone_mean_testing_on_val_and_it_is_said(tmp_path: Path, logged: list[str]) -> None:
    dataset = load(in_parts(tmp_path / "data", {"train": {"a": 3, "b": 2}, "val": {"a": 1, "b": 1}}))
    assert (len(dataset.train_x), len(dataset.test)) == (5, 2)
    assert any("validation images are the test images" in line for line in logged)


def test_a_train_folder_alone_is_split_here(tmp_path: Path) -> None:
    root = in_parts(tmp_path / "data", {"train": {"a": 10, "b": 10}})
    dataset = load(root)
    assert (len(dataset.train_x), len(dataset.val), len(dataset.test)) == (14, 2, 4)
    assert list(dataset.classnames) == ["a", "b"]
    assert paths_by_part(load(root)) == paths_by_part(dataset)


def test_a_class_that_is_never_tested_is_no_mistake(tmp_path: Path) -> None:
    dataset = load(in_parts(tmp_path / "data", {"train": {"a": 3, "b": 2, "c": 2}, "test": {"c": 1, "a": 1}}))
    assert list(dataset.classnames) == ["a", "b", "c"]
    assert {(item.label, item.classname) for item in dataset.test} == {(0, "a"), (2, "c")}


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_has_no_training_image_is_named(part: str, tmp_path: Path) -> None:
    parts = {"train": {"a": 3, "b": 2}, "val": {"a": 1}, "test": {"a": 1}}
    parts[part]["stranger"] = 1
    assert "stranger" in message_of(in_parts(tmp_path / "data", parts))


def test_classes_that_are_called_train_and_test_are_classes(tmp_path: Path) -> None:
    dataset = load(make_folders(tmp_path / "data", {"bus": 5, "train": 5, "test": 5}))
    assert list(dataset.classnames) == ["bus", "test", "train"]
    assert len(label_by_path(dataset)) == 15


@pytest.mark.parametrize("separator", ["\t", " ", ": ", " = ", ":", "="])
def test_classnames_txt_gives_better_names(separator: str, pets: Path) -> None:
    lines = [f"guinea pig{separator}Meerschweinchen (groß)", f"cat{separator}house cat: tame", f"dog{separator}dog"]
    (pets / "classnames.txt").write_text("\n".join(lines), encoding="utf-8")
    dataset = load(pets)
    assert list(dataset.classnames) == ["house cat: tame", "dog", "Meerschweinchen (groß)"]
    assert {item.classname for item in dataset.train_x if "guinea pig" in item.impath} == {"Meerschweinchen (groß)"}


def test_classnames_txt_may_come_from_windows_and_have_blank_lines(pets: Path) -> None:
    (pets / "classnames.txt").write_bytes(b"\xef\xbb\xbfcat\tKatze\r\n\r\ndog\tHund\r\nguinea pig\tMeerschwein\r\n")
    assert list(load(pets).classnames) == ["Katze", "Hund", "Meerschwein"]


def test_a_class_that_classnames_txt_leaves_out_keeps_its_name(pets: Path, logged: list[str]) -> None:
    (pets / "classnames.txt").write_text("cat\thouse cat\n")
    assert list(load(pets).classnames) == ["house cat", "dog", "guinea pig"]
    assert any("classnames.txt" in line and "1 of 3" in line for line in logged)


def test_the_longest_folder_that_fits_a_line_counts(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "data", {"cat": 3, "cat big": 3})
    (root / "classnames.txt").write_text("cat big lion\ncat small cat\n")
    assert list(load(root).classnames) == ["small cat", "lion"]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("cat\thouse cat\nhorse\tpony\n", 2, "horse"),
        ("cat\thouse cat\n\ncat\ttom\n", 3, "cat"),
        ("dog\n", 1, "dog"),
        ("dog:\n", 1, "dog"),
        ("dogs\tmany\n", 1, "dogs"),
    ],
)
def test_a_wrong_line_of_classnames_txt_is_named(text: str, line: int, word: str, pets: Path) -> None:
    (pets / "classnames.txt").write_text(text)
    message = message_of(pets)
    assert f"line {line}" in message
    assert word in message
    assert str(pets / "classnames.txt") in message


def test_classnames_txt_of_another_encoding_is_refused(pets: Path) -> None:
    (pets / "classnames.txt").write_bytes("cat\tKätzchen\n".encode("latin-1"))
    assert "UTF-8" in message_of(pets)


@pytest.mark.parametrize(
    "counts", [{}, {"only": 9}, {"a": 1, "b": 1}], ids=["no class", "one class", "one photo a class"]
)
def test_too_little_to_learn_from_is_an_error_that_names_the_folder(counts: dict[str, int], tmp_path: Path) -> None:
    root = make_folders(tmp_path / "data", counts)
    root.mkdir(exist_ok=True)
    assert str(root) in message_of(root)
    assert not (root / KEPT).exists()


def test_a_missing_folder_or_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.jpg").write_bytes(b"")
    for root in (tmp_path / "nowhere", tmp_path / "file.jpg"):
        assert str(root) in message_of(root)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.jpg"]


def test_halves_of_the_classes_work(pets: Path) -> None:
    base, new = (load(pets, subsample_classes=half) for half in ("base", "new"))
    assert (base.classnames, new.classnames) == (["cat", "dog"], ["guinea pig"])
    assert {item.label for item in new.test} == {0}


def test_the_home_folder_and_relative_folders_are_understood(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(pets.parent))
    monkeypatch.chdir(pets)
    for root in ("~/my photos", ".", os.path.join("..", "my photos")):
        dataset = dataset_class("folder")(root=root)
        assert len(label_by_path(dataset)) == 15
        assert Path(dataset.train_x[0].impath).is_absolute()
