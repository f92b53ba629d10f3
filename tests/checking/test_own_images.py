"""Someone's own images: tiny classes, corrupt images, odd names, and what a run would stop at."""

import json
import os
import re
import shutil
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lamm.checking.findings import State
from lamm.checking.own_images import check_own_data
from tests.checking.checked_data import texts


def photo(file: Path) -> None:
    """A photo that no other file is a copy of."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shade = zlib.crc32(str(file).encode())
    Image.new("RGB", (8, 8), (shade & 255, shade >> 8 & 255, shade >> 16 & 255)).save(file, quality=100)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of five photos."""
    for name in ("Äpfel & Birnen", "red car", "dog"):
        for number in range(5):
            photo(tmp_path / "photos" / name / f"{number}.jpg")
    return tmp_path / "photos"


def test_a_folder_of_classes_is_whole(photos: Path) -> None:
    report = check_own_data("folder", photos)
    assert (report.state, report.classes, report.decoded, report.faults) == (State.WHOLE, 3, 15, [])
    assert texts(report) == [
        "note: no split is given: the first run tests on a fifth of each class and trains on the rest",
        "note: 15 images in 3 classes",
    ]


def test_nothing_is_written_into_the_folder(photos: Path) -> None:
    before = sorted(photos.rglob("*"))
    check_own_data("folder", photos)
    assert sorted(photos.rglob("*")) == before


def test_everything_odd_about_a_folder_is_told_at_once(photos: Path) -> None:
    photo(photos / "tiny" / "1.jpg")
    photo(photos / "loose.jpg")
    photo(photos / "n01440764" / "1.jpg")
    photo(photos / "42" / "1.jpg")
    photo(photos / "BlueCar" / "1.jpg")
    photo(photos / "red_car" / "1.jpg")
    (photos / "empty").mkdir()
    (photos / "dog" / "0.jpg").write_bytes((photos / "dog" / "0.jpg").read_bytes()[:-10])
    (photos / "dog" / "notes.doc").write_text("x", encoding="utf-8")
    report = check_own_data("folder", photos)
    assert report.state is State.FAULTY
    found = texts(report)
    for expected in (
        r"fault: images damaged or cut off \(1\): dog/0\.jpg",
        r'note: classes with fewer than 3 images \(5\): "42" \(1\); ',
        r"note: folders without an image, which are not classes \(1\): empty",
        r"note: images outside of class folders, so nothing uses them \(1\): loose\.jpg",
        r"note: files in class folders that are not images \(1\): dog/notes\.doc",
        r'note: class names that are WordNet ids, .* \(1\): "n01440764"',
        r'note: class names of digits only, .* \(1\): "42"',
        r'note: class names of words run together \(CamelCase\) \(1\): "BlueCar"',
        r'note: class names with underscores, .* \(1\): "red_car"',
        r'note: pairs of class names that are the same to CLIP \(1\): "red car" and "red_car"',
    ):
        assert any(re.match(expected, text) for text in found), (expected, found)


def test_folders_of_train_and_test(photos: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(3):
                photo(tmp_path / "split" / part / name / f"{number}.jpg")
    photo(tmp_path / "split" / "test" / "stranger" / "1.jpg")
    report = check_own_data("folder", tmp_path / "split")
    assert report.sizes == (6, 0, 7)
    assert "fault: classes without an image to train on (1): stranger" in texts(report)


def test_one_class_is_a_fault(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "dog" / "1.jpg")
    assert "fault: a classifier needs two classes or more" in texts(check_own_data("folder", tmp_path / "photos"))


def test_a_broken_classnames_file_is_a_fault(photos: Path) -> None:
    (photos / "classnames.txt").write_text("cow\ta cow\n", encoding="utf-8")
    assert any("expected a class, a tab and its name" in text for text in texts(check_own_data("folder", photos)))


def test_the_kept_split_is_told(photos: Path) -> None:
    kept = photos / "split_lamm_folder.json"
    kept.write_text(
        json.dumps({"train": [f"a{n}" for n in range(10)], "val": [], "test": [f"b{n}" for n in range(5)]}),
        encoding="utf-8",
    )
    note = "note: split_lamm_folder.json stores the split of an earlier run: 10 / 0 / 5 images in train / val / test"
    assert note in texts(check_own_data("folder", photos))
    kept.write_text("{", encoding="utf-8")
    assert any("is damaged (" in text for text in texts(check_own_data("folder", photos)))


def write_table(folder: Path, *rows: str) -> Path:
    file = folder / "photos.csv"
    file.write_text("\n".join(["path,label,split", *rows]), encoding="utf-8")
    return file


def test_a_table_is_whole(photos: Path) -> None:
    rows = [
        f"{name}/{number}.jpg,{name},{'test' if number == 4 else 'train'}"
        for name in ("dog", "red car")
        for number in range(5)
    ]
    report = check_own_data("csv", write_table(photos, *rows))
    assert (report.state, report.sizes, report.classes, report.decoded) == (State.WHOLE, (8, 0, 2), 2, 10)


def test_every_broken_row_of_a_table_is_told(photos: Path) -> None:
    (photos / "dog" / "2.jpg").write_text("no image", encoding="utf-8")
    file = write_table(
        photos,
        "dog/0.jpg,dog,train", "dog/1.jpg,,train", "dog/2.jpg,dog,train", "dog/3.jpg,dog,sometimes",
        "gone.jpg,dog,train", "red car/0.jpg,red car,test", "red car/1.jpg,red car,", "dog/0.jpg,dog,test",
    )  # fmt: skip
    found = texts(check_own_data("csv", file))
    for expected in (
        r'fault: photos\.csv: broken rows \(2\): line 3: no label.*; line 5: the split "sometimes"',
        r"fault: photos\.csv: images listed more than once \(1\): dog/0\.jpg \(line 2, line 9\)",
        r"fault: photos\.csv: images missing \(1\): gone\.jpg \(line 6\)",
        r"fault: photos\.csv: rows without a split, while others have one \(1\): line 8",
        r"fault: classes without an image to train on \(1\): red car",
        r"fault: files that are called images and are not \(1\): dog/2\.jpg",
    ):
        assert any(re.match(expected, text) for text in found), (expected, found)


def test_a_table_without_its_columns_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a,b\n1,2\n", encoding="utf-8")
    report = check_own_data("csv", file)
    assert report.state is State.FAULTY
    assert any("has no column path" in text for text in texts(report))


def test_a_place_where_nothing_is(tmp_path: Path) -> None:
    assert check_own_data("folder", tmp_path / "gone").state is State.ABSENT
    assert check_own_data("csv", tmp_path / "gone.csv").state is State.ABSENT


def test_deep_and_transparent_images_are_notes(photos: Path) -> None:
    Image.new("I;16", (8, 8), 40_000).save(photos / "dog" / "deep.png")
    Image.new("RGBA", (8, 8)).save(photos / "dog" / "transparent.png")
    report = check_own_data("folder", photos)
    assert report.state is State.WHOLE
    assert sum("dog/deep.png" in text or "dog/transparent.png" in text for text in texts(report)) == 2


def test_images_without_a_decoder_are_a_fault_that_says_what_they_need(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamm.images.readable_formats", lambda: ("JPEG", "PNG"))
    (photos / "dog" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (fault,) = [text for text in texts(check_own_data("folder", photos)) if "heic" in text]
    assert fault.startswith("fault: images that can't be read, HEIC needs `pip install pillow-heif` (1): dog/a.heic")


def test_copies_and_links_of_an_image_in_two_parts_are_a_fault(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(3):
                photo(tmp_path / part / name / f"{number}.jpg")
    shutil.copy(tmp_path / "train/cat/0.jpg", tmp_path / "test/cat/copy.jpg")
    os.link(tmp_path / "train/dog/1.jpg", tmp_path / "test/dog/link.jpg")
    shutil.copy(tmp_path / "train/dog/2.jpg", tmp_path / "train/dog/again.jpg")
    found = texts(check_own_data("folder", tmp_path))
    assert (
        "fault: images in two parts under two names, so that what is tested was trained on (2): "
        "test/cat/copy.jpg (test) = train/cat/0.jpg (train); test/dog/link.jpg (test) = train/dog/1.jpg (train)"
    ) in found
    again = "train/dog/2.jpg (train) = train/dog/again.jpg (train)"
    assert f"note: images that are there more than once (1): {again}" in found


def test_copies_are_a_fault_by_the_parts_of_an_earlier_run(photos: Path) -> None:
    shutil.copy(photos / "dog" / "0.jpg", photos / "dog" / "copy.jpg")
    note = "note: images that are there more than once (1): dog/0.jpg = dog/copy.jpg"
    assert note in texts(check_own_data("folder", photos))
    stored = {"train": ["dog/0.jpg"], "val": [], "test": ["dog/copy.jpg"]}
    (photos / "split_lamm_folder.json").write_text(json.dumps(stored), encoding="utf-8")
    assert any("dog/0.jpg (train) = dog/copy.jpg (test)" in text for text in texts(check_own_data("folder", photos)))


def test_names_of_any_length_are_told_in_short(photos: Path) -> None:
    long = "a/" * 60_000
    report = check_own_data("csv", write_table(photos, f"{long}.png,dog,train", "dog/0.jpg," + "y" * 100_000 + ",test"))
    assert any("images missing (1): a/a/a/" in text for text in texts(report))
    assert max(map(len, texts(report))) < 1000


@pytest.mark.parametrize("train", [[["a", 1]], [None], [1]])
def test_a_stored_split_that_training_refuses_is_a_fault(train: list, photos: Path) -> None:
    content = {"train": train, "val": [], "test": []}
    (photos / "split_lamm_folder.json").write_text(json.dumps(content), encoding="utf-8")
    assert any("is damaged" in text and text.startswith("fault") for text in texts(check_own_data("folder", photos)))
