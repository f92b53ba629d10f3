"""A folder of someone's own images, a sub-folder per class: classes, parts, the file that keeps them, mistakes."""

import json
import os
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

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


def test_a_link_to_a_folder_below_a_class_is_named(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pets / "cat" / "more").symlink_to(pets / "dog", target_is_directory=True)
    load(pets)
    lines = [line for line in capsys.readouterr().out.splitlines() if "Links to folders are not followed" in line]
    assert len(lines) == 1
    assert lines[0].endswith("1 here: cat/more")


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


def test_a_class_that_lost_its_test_photo_is_named(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = paths_by_part(load(pets))
    assert "No test image" not in capsys.readouterr().out
    (pets / next(path for path in old["test"] if path.startswith("dog/"))).unlink()
    load(pets)
    assert "No test image of: dog; the accuracy does not count them" in capsys.readouterr().out.splitlines()


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


@pytest.fixture
def jpeg_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow without plugins."""
    monkeypatch.setattr("lamm.images.readable_formats", lambda: ("JPEG", "PNG"))


def test_photos_without_a_decoder_are_counted_and_left_out(
    pets: Path, jpeg_alone: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = paths_by_part(load(pets))
    write_images(pets / "cat", ["a.HEIC", "b.jxl"])
    assert paths_by_part(load(pets)) == before
    line = (
        "2 files are not readable here: HEIC needs `pip install pillow-heif`, JXL needs `pip install pillow-jxl-plugin`"
    )
    assert line in capsys.readouterr().out.splitlines()


def test_camera_files_are_counted(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suffixes = ("SRW", "pef", "rwl", "raw", "3fr", "iiq", "x3f", "ico", "exr", "hdr", "pcx", "jxr", "wdp")
    write_images(pets / "cat", [f"a.{suffix}" for suffix in suffixes])
    load(pets)
    assert "13 files are not readable here: 3FR needs a conversion" in capsys.readouterr().out


def test_a_class_of_photos_without_a_decoder_is_an_error(pets: Path, jpeg_alone: None) -> None:
    write_images(pets / "telephone", ["a.heic", "b.heic"])
    assert 'pip install pillow-heif`; class "telephone" has no other training image' in message_of(pets)


def test_a_class_has_the_same_name_however_the_file_system_writes_umlauts(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        make_folders(tmp_path / form, {unicodedata.normalize(form, "Äpfel"): 2, "dog": 2})
        assert set(load(tmp_path / form).classnames) == {"dog", "\u00c4pfel"}


def test_a_class_or_photo_whose_name_is_not_utf8_is_named(pets: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(pets) + b"/caf\xe9"))
    odd.mkdir()
    assert "caf\\xe9" in message_of(pets)
    odd.rmdir()
    write_images(pets, ["café/1.jpg", "café/2.jpg"])
    (pets / "café/1.jpg").rename(Path(os.fsdecode(os.fsencode(pets / "café") + b"/\xff.jpg")))
    assert "\\xff.jpg" in message_of(pets)
