"""The catalogue of sources agrees with the loaders, with torchvision, and with itself."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from lamm.datasets import BENCHMARK, dataset_class
from lamm.datasets.sources import SOURCES, Need

# Data set → module of torchvision with the same archives.
IN_TORCHVISION = {
    "caltech101": "caltech",
    "oxford_pets": "oxford_iiit_pet",
    "oxford_flowers": "flowers102",
    "food101": "food101",
    "sun397": "sun397",
    "dtd": "dtd",
    "eurosat": "eurosat",
    "imagenet": "imagenet",
}


def test_every_data_set_of_the_benchmark_has_a_source() -> None:
    assert list(SOURCES) == list(BENCHMARK)


@pytest.mark.parametrize("name", BENCHMARK)
def test_folder_files_and_images_are_those_of_the_loader(name: str) -> None:
    source, dataset = SOURCES[name], dataset_class(name)
    assert source.folder == dataset.dataset_dir
    assert [part.target for part in source.parts if part.need is Need.SPLIT] == [dataset.split_file] * bool(
        dataset.split_file
    )
    tops = {part.target for part in source.image_parts}
    if name == "imagenet":
        assert tops == {"images/train", "images/val"}
    elif dataset.image_prefix:
        assert tops == {dataset.image_prefix}
    assert dataset.expected_sizes is not None
    expected = dataset.expected_sizes[2] if dataset.test_only else sum(dataset.expected_sizes)
    assert sum(part.images for part in source.image_parts) == expected
    for part in source.image_parts:
        assert part.folders in (0, dataset.expected_classes)
        assert part.holds


def test_every_part_but_what_is_written_here_is_in_a_published_file() -> None:
    for source in SOURCES.values():
        given = {target for file in source.files for target in file.gives}
        parts = {part.target for part in source.parts}
        assert given <= parts
        assert parts - given <= {"classnames.txt", "LOC_val_solution.csv"}


def test_every_file_can_be_found_by_a_person() -> None:
    for source in SOURCES.values():
        assert source.page.startswith("https://")
        for file in source.files:
            assert file.where or file.trouble, file.name
            assert all(re.match("https?://", url) for url in file.urls)
            assert not file.md5 or re.fullmatch("[0-9a-f]{32}", file.md5)


def test_md5_sums_are_torchvisions() -> None:
    for name, module in IN_TORCHVISION.items():
        text = inspect.getsource(importlib.import_module(f"torchvision.datasets.{module}"))
        sums = [file.md5 for file in SOURCES[name].files if file.md5]
        assert sums
        assert all(md5 in text for md5 in sums)


def test_the_documentation_has_every_file_link_and_folder() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    wanted: list[str] = []
    for source in SOURCES.values():
        wanted += [source.page, source.title, f"`{source.folder}`", *source.notes]
        for file in source.files:
            wanted += [f"`{file.name}`", *file.urls, file.where]
    assert [word for word in wanted if word not in text] == []
