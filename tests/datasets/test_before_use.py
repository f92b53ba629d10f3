"""Own images before training: ones that can't be read, and one file in two parts under several names."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lamm.datasets import dataset_class
from lamm.datasets.before_use import problem_of
from lamm.errors import DataError
from tests.datasets.miniature_files import write_images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of six photos in folders of train and test."""
    folder = tmp_path / "photos"
    for part, numbers in (("train", range(4)), ("test", range(4, 6))):
        write_images(folder, [f"{part}/{name}/{number}.jpg" for name in ("cat", "dog") for number in numbers])
    return folder


def write_list(folder: Path, train: str, test: str) -> Path:
    rows = [
        f"{part}/{name}/{number}.jpg,{name},{part}"
        for name in ("cat", "dog")
        for part, number in (("train", 1), ("test", 4))
    ]
    file = folder / "list.csv"
    file.write_text("\n".join(["path,label,split", *rows, f"{train},cat,train", f"{test},cat,test"]), encoding="utf-8")
    return file


def link(photos: Path) -> str:
    os.symlink(photos / "train/cat/0.jpg", photos / "linked.jpg")
    return "linked.jpg"


def hard_link(photos: Path) -> str:
    os.link(photos / "train/cat/0.jpg", photos / "hard.jpg")
    return "hard.jpg"


def linked_folder(photos: Path) -> str:
    os.symlink(photos / "train", photos / "other")
    return "other/cat/0.jpg"


@pytest.mark.parametrize(
    "other",
    [
        lambda photos: "train/./cat/0.jpg", lambda photos: "train/../train/cat/0.jpg",
        lambda photos: str(photos / "train/cat/0.jpg"), link, hard_link, linked_folder,
    ],
    ids=["dot", "dots", "absolute", "link", "hard link", "linked folder"],
)  # fmt: skip
def test_one_file_under_two_names_in_train_and_test_is_refused(other: Callable[[Path], str], photos: Path) -> None:
    name = other(photos)
    with pytest.raises(DataError, match=r"0\.jpg") as error:
        dataset_class("csv")(csv=write_list(photos, "train/cat/0.jpg", name))
    assert "\n" not in str(error.value)


def test_a_photo_linked_from_train_to_test_is_refused_in_a_folder_too(photos: Path) -> None:
    os.link(photos / "train/cat/0.jpg", photos / "test/cat/again.jpg")
    with pytest.raises(DataError, match=r"train/cat/0\.jpg.*test/cat/again\.jpg.*in train and in test"):
        dataset_class("folder")(root=photos)


def test_two_files_are_not_one(photos: Path) -> None:
    write_images(photos, ["copy.jpg"])
    dataset_class("csv")(csv=write_list(photos, "train/cat/0.jpg", "copy.jpg"))


def test_a_published_split_that_tests_on_training_images_is_told(
    photos: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    from lamm.datasets.base import BenchmarkDataset
    from lamm.datasets.splits import Split, SplitItem

    class Leaking(BenchmarkDataset):
        def whole_split(self) -> Split:
            items = [SplitItem("train/cat/0.jpg", 0, "cat"), SplitItem("train/dog/0.jpg", 1, "dog")]
            return Split(items, [], items[:1])

    Leaking(root=photos)
    assert any("train/cat/0.jpg" in line and "1 images are both trained and tested on" in line for line in logged)


def broken(photos: Path) -> dict[str, Path]:
    whole = (photos / "train/cat/0.jpg").read_bytes()
    Image.new("RGB", (50, 50), "red").save(photos / "whole.png")
    png = (photos / "whole.png").read_bytes()
    content = {
        "empty.jpg": b"", "text.jpg": b"no image", "cut.jpg": whole[:-20], "header.jpg": whole[:30],
        "cut.png": png[:-30], "garbled.png": png[:50] + bytes(20) + png[70:], "text.gif": b"GIF89a",
    }  # fmt: skip
    for name, data in content.items():
        (photos / name).write_bytes(data)
    return {name: photos / name for name in content}


def test_what_training_would_stop_at_is_seen_before(photos: Path) -> None:
    for name, file in broken(photos).items():
        assert name in problem_of(str(file)), name
    for suffix in ("jpg", "png", "gif", "bmp", "webp", "tif"):
        Image.new("L", (30, 20)).save(photos / f"a.{suffix}")
        assert problem_of(str(photos / f"a.{suffix}")) == ""
    (photos / "padded.jpg").write_bytes((photos / "a.jpg").read_bytes() + bytes(5000))
    assert problem_of(str(photos / "padded.jpg")) == ""


@pytest.mark.parametrize("place", ["train/cat/0.jpg", "test/dog/5.jpg"])
def test_a_bad_photo_is_named_before_training_with_what_shows_the_others(place: str, photos: Path) -> None:
    (photos / place).write_bytes(b"")
    (photos / "test/cat/4.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 more of 12 images.*lamm check-data folder --root") as error:
        dataset_class("folder")(root=photos)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_a_start_that_a_bad_photo_ends_stores_no_split(kind: str, tmp_path: Path) -> None:
    names = [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(4)]
    write_images(tmp_path, names)
    rows = "".join(f"{name},{name[:3]}\n" for name in names)
    (tmp_path / "list.csv").write_text(f"path,label\n{rows}", encoding="utf-8")
    for name in names[:4]:
        (tmp_path / name).write_bytes(b"")
    before = sorted(path.name for path in tmp_path.iterdir())
    place = {"root": tmp_path} if kind == "folder" else {"csv": tmp_path / "list.csv"}
    with pytest.raises(DataError, match=r"cat/\d\.jpg"):
        dataset_class(kind)(**place, num_shots=2, seed=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    write_images(tmp_path, names)
    dataset_class(kind)(**place, num_shots=2, seed=1)
    assert len(list(tmp_path.iterdir())) == len(before) + 2


def test_the_end_of_a_thumbnail_is_not_the_end_of_a_photo(photos: Path) -> None:
    thumbnail = b"Exif\0\0" + (photos / "train/cat/0.jpg").read_bytes()
    Image.radial_gradient("L").resize((48, 48)).save(photos / "whole.jpg", optimize=True)
    whole = (photos / "whole.jpg").read_bytes()
    content = whole[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + whole[2:]
    (photos / "thumbnail.jpg").write_bytes(content)
    assert problem_of(str(photos / "thumbnail.jpg")) == ""
    (photos / "thumbnail.jpg").write_bytes(content[:-20])
    assert "thumbnail.jpg" in problem_of(str(photos / "thumbnail.jpg"))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_photo_too_narrow_to_be_trained_on_is_seen_before(suffix: str, tmp_path: Path) -> None:
    Image.new("RGB", (2000, 2)).save(tmp_path / f"a.{suffix}")
    assert problem_of(str(tmp_path / f"a.{suffix}")) == ""
    Image.new("RGB", (1001, 1)).save(tmp_path / f"a.{suffix}")
    assert "too long and narrow" in problem_of(str(tmp_path / f"a.{suffix}"))


def test_a_bad_photo_that_is_not_used_does_not_stop_a_run(photos: Path) -> None:
    (photos / "train/cat/0.jpg").write_bytes(b"")
    used = {
        seed: any("cat/0.jpg" in item for item in picks)
        for seed in range(1, 9)
        if (picks := picks_of(photos, seed)) is not None
    }
    assert used
    assert not any(used.values())


def picks_of(photos: Path, seed: int) -> list[str] | None:
    try:
        return [item.impath for item in dataset_class("folder")(root=photos, num_shots=1, seed=seed).train_x]
    except DataError as error:
        assert "cat/0.jpg" in str(error)  # noqa: PT017
        return None
