"""All fifteen data sets: whole, partial, absent, with planted faults, and with images that cannot be decoded."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lamm.checking.benchmark import check_benchmark
from lamm.checking.findings import State
from lamm.checking.images import DAMAGED, EMPTY, FOREIGN, problem_of, undecodable
from lamm.datasets import dataset_class
from lamm.datasets.sources import SOURCES
from tests.checking.checked_data import Builder, Checked, texts
from tests.datasets.miniature_trees import MINIATURES
from tests.pictures import noise


@pytest.mark.parametrize("name", MINIATURES)
def test_a_small_one_is_whole(name: str, build: Builder) -> None:
    data = build(name)
    report = data.check()
    known = {"imagenet", "imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"}
    faults = [
        text for text in texts(report) if text.startswith("fault") and not (name in known and "classnames" in text)
    ]
    assert faults == []
    assert report.sizes == data.check(quick=True).sizes == tuple(dataset_class(name).expected_sizes or ())
    assert report.decoded > 0


@pytest.mark.parametrize("name", ["stanford_cars", "imagenet", "imagenet_sketch"])
def test_one_that_is_not_there_is_told_with_page_files_and_layout(name: str, tmp_path: Path) -> None:
    report = check_benchmark(SOURCES[name], tmp_path)
    assert (report.state, report.faults, report.notes) == (State.ABSENT, [], [])
    lines = "\n".join(report.to_get)
    assert SOURCES[name].page in lines
    for file in SOURCES[name].files:
        assert file.name in lines
        assert file.where in lines
    assert f"{tmp_path / SOURCES[name].folder}/" in lines
    assert "Afterwards it looks like this:" in lines


@pytest.mark.parametrize("name", ["caltech101", "oxford_flowers", "ucf101", "imagenet", "imagenetv2"])
def test_without_its_images_it_is_partial(name: str, build: Builder) -> None:
    data = build(name)
    for part in data.source.image_parts:
        shutil.rmtree(data.folder / part.target)
    others = [path for path in data.folder.iterdir() if path.is_file()]
    report = data.check()
    assert report.state is (State.PARTIAL if others else State.ABSENT)
    assert report.to_get


@pytest.mark.parametrize("name", ["oxford_pets", "dtd"])
def test_without_the_published_split_a_note_says_so(name: str, build: Builder) -> None:
    data = build(name, published=False)
    report = data.check()
    assert report.state is State.WHOLE
    assert any("the published split, is absent: the first run makes one of its own" in text for text in texts(report))
    assert any("drive.google.com" in line for line in report.to_get)


def test_without_split_and_lists_it_is_partial(build: Builder) -> None:
    data = build("oxford_pets", published=False)
    shutil.rmtree(data.folder / "annotations")
    report = data.check()
    assert report.state is State.PARTIAL
    assert any("none can be made: no file at" in text for text in texts(report))


def test_a_broken_official_list_is_a_fault_and_images_are_decoded(build: Builder) -> None:
    data = build("fgvc_aircraft")
    with open(data.folder / "images_variant_train.txt", "a", encoding="utf-8") as file:
        file.write("0000000 no such variant\n")
    report = data.check()
    assert report.state is State.FAULTY
    assert any("images_variant_train.txt, line" in text for text in texts(report))
    assert report.decoded > 0


def test_flat_validation_images_are_told_with_the_command_that_sorts_them(build: Builder) -> None:
    data = build("imagenet")
    val = data.folder / "images" / "val"
    for file in list(val.rglob("*.JPEG")):
        file.rename(val / file.name)
    report = data.check()
    assert report.state is State.PARTIAL
    assert any("images outside of class folders: lamm prepare-data imagenet sorts them" in t for t in texts(report))


def test_a_class_folder_in_only_one_of_train_and_val_is_a_fault(build: Builder) -> None:
    data = build("imagenet")
    gone = sorted((data.folder / "images" / "val").iterdir())[0]
    shutil.rmtree(gone)
    found = texts(data.check())
    assert f"fault: class folders in only one of images/train and images/val (1): {gone.name}" in found
    assert any(text.startswith("fault: images/val has") and "shifts the labels" in text for text in found)


def test_an_empty_class_folder_is_a_fault(build: Builder) -> None:
    data = build("imagenet_sketch")
    folder = sorted((data.folder / "images").iterdir())[0]
    shutil.rmtree(folder)
    folder.mkdir()
    assert f"fault: images: class folders without an image (1): {folder.name}" in texts(data.check())


def test_a_folder_with_nearly_the_right_name_is_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "Caltech101").mkdir()
    report = check_benchmark(SOURCES["caltech101"], tmp_path)
    assert (
        report.to_get[0] == f'There is a folder "Caltech101" in {tmp_path}: if that is it, rename it to "caltech-101".'
    )


IMAGES = "101_ObjectCategories"


def missing_image(data: Checked) -> None:
    (data.folder / IMAGES / "Faces" / "image_0001.jpg").unlink()


def empty_image(data: Checked) -> None:
    (data.folder / IMAGES / "Faces" / "image_0002.jpg").write_bytes(b"")


def truncated_image(data: Checked) -> None:
    file = data.folder / IMAGES / "Faces" / "image_0003.jpg"
    file.write_bytes(file.read_bytes()[:-10])


def text_called_image(data: Checked) -> None:
    (data.folder / IMAGES / "Faces" / "image_0004.jpg").write_text("a text", encoding="utf-8")


def folder_called_image(data: Checked) -> None:
    file = data.folder / IMAGES / "Faces" / "image_0005.jpg"
    file.unlink()
    file.mkdir()


def missing_class_folder(data: Checked) -> None:
    shutil.rmtree(data.folder / IMAGES / "yin_yang")


def removed_entry(data: Checked) -> None:
    data.edit_split(lambda content: content["test"].pop())


def gap_in_labels(data: Checked) -> None:
    def edit(content: dict[str, list]) -> None:
        for entry in [entry for part in content.values() for entry in part]:
            entry[1] = 40 if entry[1] == 3 else entry[1]

    data.edit_split(edit)


def two_names_of_a_label(data: Checked) -> None:
    data.edit_split(lambda content: content["train"][0].__setitem__(2, "another name"))


def one_name_of_two_labels(data: Checked) -> None:
    def edit(content: dict[str, list]) -> None:
        for entry in [entry for part in content.values() for entry in part]:
            entry[2] = "leopard" if entry[1] == 2 else entry[2]

    data.edit_split(edit)


def leak(data: Checked) -> None:
    data.edit_split(lambda content: content["test"].append(content["train"][1]))


def listed_twice(data: Checked) -> None:
    data.edit_split(lambda content: content["val"].append(content["val"][0]))


def absolute_path(data: Checked) -> None:
    data.edit_split(lambda content: content["train"][2].__setitem__(0, "/etc/passwd"))


def escaping_path(data: Checked) -> None:
    data.edit_split(lambda content: content["train"][3].__setitem__(0, "../../evil.jpg"))


def windows_path(data: Checked) -> None:
    data.edit_split(lambda content: content["train"][4].__setitem__(0, "C:\\evil.jpg"))


def entry_of_another_form(data: Checked) -> None:
    data.edit_split(lambda content: content["train"].append(["only a path"]))


def no_label(data: Checked) -> None:
    data.edit_split(lambda content: content["train"][5].__setitem__(1, None))


def blank_name(data: Checked) -> None:
    data.edit_split(lambda content: content["train"][6].__setitem__(2, "  "))


def other_order(data: Checked) -> None:
    data.edit_split(lambda content: content["train"].reverse())


FAULTS: dict[Callable[[Checked], None], str] = {
    missing_image: r"images missing \(\d+\): .*Faces/image_0001\.jpg",
    empty_image: r"images that are empty files \(1\): 101_ObjectCategories/Faces/image_0002\.jpg",
    truncated_image: r"images damaged or cut off \(1\): 101_ObjectCategories/Faces/image_0003\.jpg \(image file is ",
    text_called_image: r"files that are called images and are not \(1\): 101_ObjectCategories/Faces/image_0004\.jpg",
    folder_called_image: r"images missing \(\d+\): .*Faces/image_0005\.jpg",
    missing_class_folder: r"image folders missing \(1\): yin_yang \(\d+ images\)",
    removed_entry: r"the split names .* images, expected are ",
    gap_in_labels: r"labels that no image has, though labels must be 0, 1, 2, … with no gap \(\d+\): 3; ",
    two_names_of_a_label: r"labels with more than one class name \(1\): 7 \(.*'another name'",
    one_name_of_two_labels: r'class names that two labels share \(1\): "leopard" \(labels 1, 2\)',
    leak: r"images in more than one part, so that what is tested was trained on \(1\): .*\(train and test\)",
    listed_twice: r"images listed more than once in the same part \(1\): .* \(val\)",
    absolute_path: r'broken entries \(\d+\): .*train\[2\]: the path "/etc/passwd" is absolute',
    escaping_path: r'broken entries \(\d+\): .*train\[3\]: the path "\.\./\.\./evil\.jpg" leaves the image folder',
    windows_path: r'broken entries \(\d+\): .*train\[4\]: the path "C:\\evil\.jpg" is absolute',
    entry_of_another_form: r"broken entries \(\d+\): .*expected \[path, label, class name\]",
    no_label: r"broken entries \(\d+\): .*train\[5\]: the label null is not a whole number",
    blank_name: r"broken entries \(\d+\): .*train\[6\]: the class name \"  \" is not a text",
    other_order: r"split_zhou_Caltech101\.json is not the published file",
}


def test_a_whole_data_set_has_no_fault(caltech: Checked) -> None:
    report = caltech.check()
    assert report.state is State.WHOLE
    assert report.faults == []
    assert report.sizes == report.expected_sizes
    assert report.decoded == sum(report.sizes or ())
    assert report.to_get == []


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_each_fault_is_reported(plant: Callable[[Checked], None], caltech: Checked) -> None:
    plant(caltech)
    report = caltech.check()
    assert report.state in (State.FAULTY, State.PARTIAL)
    assert [text for text in texts(report) if re.match(f"fault: .*{FAULTS[plant]}", text)], texts(report)


def test_ten_faults_at_once_are_all_reported(caltech: Checked) -> None:
    together = [
        missing_image, empty_image, truncated_image, text_called_image, missing_class_folder, gap_in_labels,
        two_names_of_a_label, leak, listed_twice, absolute_path,
    ]  # fmt: skip
    for plant in together:
        plant(caltech)
    report = caltech.check()
    for plant in together:
        assert [text for text in texts(report) if re.match(f"fault: .*{FAULTS[plant]}", text)], texts(report)


@pytest.mark.parametrize("content", ["{", "[]", '{"train": []}', "\xff", '{"train": 1, "val": 2, "test": 3}'])
def test_a_split_file_that_can_not_be_read_does_not_stop_the_decoding(content: str, caltech: Checked) -> None:
    truncated_image(caltech)
    caltech.split_file.write_bytes(content.encode("latin-1"))
    report = caltech.check()
    assert report.state is not State.WHOLE
    assert any(text.startswith("fault: split_zhou_Caltech101.json ") for text in texts(report))
    if content in ("{", "\xff", "[]"):
        assert any("Faces/image_0003.jpg (image file is truncated" in text for text in texts(report))


def test_stray_files_and_images_are_notes(caltech: Checked) -> None:
    images = caltech.folder / IMAGES
    (images / "Thumbs.db").write_bytes(b"x")
    (images / "Faces" / ".hidden").write_bytes(b"x")
    shutil.copy(images / "Faces" / "image_0001.jpg", images / "Faces" / "holiday.jpg")
    report = caltech.check()
    assert report.state is State.WHOLE
    assert "note: files among the images that are not images (1): 101_ObjectCategories/Thumbs.db" in texts(report)
    unused = f"{IMAGES}/Faces/holiday.jpg"
    assert f"note: images that the split does not name, so nothing uses them (1): {unused}" in texts(report)


def test_without_decoding_damaged_images_pass(caltech: Checked) -> None:
    truncated_image(caltech)
    report = caltech.check(quick=True)
    assert (report.state, report.decoded) == (State.WHOLE, 0)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_an_image_without_permission_is_told(caltech: Checked) -> None:
    (caltech.folder / IMAGES / "Faces" / "image_0001.jpg").chmod(0)
    assert any("can't be read, permission denied (1)" in text for text in texts(caltech.check()))


def test_what_the_system_refuses_is_told_by_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(file)

    def refuse(path: str, **_: object) -> Image.Image:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Image, "open", refuse)
    assert problem_of(str(file)) == ("permission denied", "")


def test_faults_come_with_a_way_to_mend_them(caltech: Checked) -> None:
    missing_image(caltech)
    report = caltech.check()
    assert report.state is State.PARTIAL
    lines = "\n".join(report.to_get)
    assert "caltech-101.zip (about 137 MB)" in lines
    assert f"lamm prepare-data caltech101 --root {caltech.root} --from" in lines
    assert "To mend images: remove the damaged ones" in lines


def test_labels_of_any_size_are_told_at_once(caltech: Checked) -> None:
    caltech.edit_split(lambda content: content["train"][0].__setitem__(1, 10**12))
    assert any(re.match("fault: labels go up to 1,000,000,000,000", text) for text in texts(caltech.check()))


def test_nothing_is_written(caltech: Checked) -> None:
    caltech.split_file.unlink()
    before = sorted(caltech.root.rglob("*"))
    report = caltech.check()
    assert sorted(caltech.root.rglob("*")) == before
    (note,) = (text for text in texts(report) if "published split, is absent" in text)
    assert note.startswith("note: ")
    assert report.state is State.WHOLE
    assert json.dumps(report.to_get).count("1hyarUivQE36mY6jSomru6Fjd-JzwcCzN") == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tiff"])
def test_whole_images_have_no_problem_and_cut_ones_do(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    noise(64, 64).save(file)
    assert problem_of(str(file)) is None
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    problem = problem_of(str(file))
    assert problem is not None
    assert problem[0] in (DAMAGED, FOREIGN)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [2, 30, 500])
def test_a_jpeg_that_lacks_its_last_bytes_is_damaged(cut: int, progressive: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    noise(100, 80).save(file, progressive=progressive)
    file.write_bytes(file.read_bytes()[:-cut])
    assert (problem_of(str(file)) or ("",))[0] == DAMAGED


def test_processes_find_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for number in range(130):
        file = tmp_path / f"{number}.jpg"
        if number % 50 == 0:
            file.write_bytes(b"")
        else:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
        paths.append(str(file))
    (tmp_path / "7.jpg").write_text("text", encoding="utf-8")
    monkeypatch.setattr("lamm.checking.images.FEWEST_FOR_PROCESSES", 1)
    alone = sorted(undecodable(paths, "decoding", workers=1))
    assert [(Path(path).name, kind) for path, kind, _ in alone] == [
        ("0.jpg", EMPTY), ("100.jpg", EMPTY), ("50.jpg", EMPTY), ("7.jpg", FOREIGN),
    ]  # fmt: skip
    assert sorted(undecodable(paths, "decoding", workers=2)) == alone


def test_copies_between_train_and_test_are_a_note(caltech: Checked) -> None:
    """The small images of a class are all the same."""
    found = [text for text in texts(caltech.check()) if "in two parts under two names" in text]
    assert len(found) == 1
    assert re.match(r"note: .*Faces/image_0001\.jpg \(train\) = Faces/image_000\d\.jpg \(\w+\)", found[0])
    assert not any("in two parts" in text for text in texts(caltech.check(quick=True)))
