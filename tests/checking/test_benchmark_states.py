"""All fifteen data sets: whole, partial and absent."""

import shutil
from pathlib import Path

import pytest

from lamm.checking.benchmark import check_benchmark
from lamm.checking.findings import State
from lamm.datasets import dataset_class
from lamm.datasets.sources import SOURCES
from tests.checking.checked_data import Builder, texts
from tests.datasets.miniature_trees import MINIATURES


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
    assert any(
        "images outside of class folders: python tools/prepare_data.py imagenet sorts them" in t for t in texts(report)
    )


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
