"""What each data set is called, where it lies and comes from, how large it is, and its templates."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lamm.datasets import (
    BENCHMARK,
    DATASETS,
    IMAGENET_TEMPLATES,
    TEMPLATES,
    dataset_class,
    ensemble_of,
    register_datasets,
    template_of,
)
from lamm.datasets.sources import SOURCES, Need
from lamm.engine import DATASET_REGISTRY

PLAIN = "a photo of a {}."
# Name on the command line → registered name, folder, image prefix, split file, classes, (train, val, test), template.
TABLE = {
    "caltech101": ("Caltech101", "caltech-101", "101_ObjectCategories", 100, (4128, 1649, 2465), PLAIN),
    "oxford_pets": ("OxfordPets", "oxford_pets", "images", 37, (2944, 736, 3669), "a photo of a {}, a type of pet."),
    "stanford_cars": ("StanfordCars", "stanford_cars", "", 196, (6509, 1635, 8041), PLAIN),
    "oxford_flowers": (
        "OxfordFlowers", "oxford_flowers", "jpg", 102, (4093, 1633, 2463), "a photo of a {}, a type of flower.",
    ),
    "food101": ("Food101", "food-101", "images", 101, (50500, 20200, 30300), "a photo of {}, a type of food."),
    "fgvc_aircraft": (
        "FGVCAircraft", "fgvc_aircraft", "images", 100, (3334, 3333, 3333), "a photo of a {}, a type of aircraft.",
    ),
    "sun397": ("SUN397", "sun397", "SUN397", 397, (15880, 3970, 19850), PLAIN),
    "dtd": ("DescribableTextures", "dtd", "images", 47, (2820, 1128, 1692), "{} texture."),
    "eurosat": ("EuroSAT", "eurosat", "2750", 10, (13500, 5400, 8100), "a centered satellite photo of {}."),
    "ucf101": ("UCF101", "ucf101", "UCF-101-midframes", 101, (7639, 1898, 3783), "a photo of a person doing {}."),
    "imagenet": ("ImageNet", "imagenet", "images", 1000, (1281167, 0, 50000), PLAIN),
    "imagenetv2": (
        "ImageNetV2", "imagenetv2", "imagenetv2-matched-frequency-format-val", 1000, (10000, 0, 10000), PLAIN,
    ),
    "imagenet_sketch": ("ImageNetSketch", "imagenet-sketch", "images", 1000, (50889, 0, 50889), PLAIN),
    "imagenet_a": ("ImageNetA", "imagenet-adversarial", "imagenet-a", 200, (7500, 0, 7500), PLAIN),
    "imagenet_r": ("ImageNetR", "imagenet-rendition", "imagenet-r", 200, (30000, 0, 30000), PLAIN),
}  # fmt: skip
WITHOUT_SPLIT_FILE = ("fgvc_aircraft", "imagenet", "imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")


def test_the_table_has_the_whole_benchmark() -> None:
    assert set(TABLE) == set(BENCHMARK)


@pytest.mark.parametrize("name", TABLE)
def test_a_data_set_is_as_in_the_table(name: str) -> None:
    found = dataset_class(name)
    said = (
        found.__name__,
        found.dataset_dir,
        found.image_prefix.rstrip("/"),
        found.expected_classes,
        found.expected_sizes,
        template_of(found.__name__),
    )
    assert said == TABLE[name]
    assert DATASETS[name] == found.__name__
    published = "" if name in WITHOUT_SPLIT_FILE else f"split_zhou_{TABLE[name][0]}.json"
    assert found.split_file == published
    assert found.test_only == (name in ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"))


def test_the_ensemble_is_seven_templates_and_the_own_one_except_for_imagenet() -> None:
    assert list(IMAGENET_TEMPLATES) == [
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    ]
    assert ensemble_of("ImageNet", PLAIN) == list(IMAGENET_TEMPLATES)
    assert ensemble_of("ImageNetV2", PLAIN) == [*IMAGENET_TEMPLATES, PLAIN]
    for _ in range(2):
        assert ensemble_of("DescribableTextures", "{} texture.") == [*IMAGENET_TEMPLATES, "{} texture."]


CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "datasets"


def test_every_data_set_is_registered_under_its_class_name() -> None:
    register_datasets()
    for name in DATASETS.values():
        assert DATASET_REGISTRY.get(name).__name__ == name


def test_registering_twice_is_silent(logged: list[str]) -> None:
    register_datasets()
    register_datasets()
    assert logged == []


def test_a_name_that_others_register_is_theirs_and_logged(
    monkeypatch: pytest.MonkeyPatch, log_lines: list[str]
) -> None:
    registry = type(DATASET_REGISTRY)("DATASET")
    monkeypatch.setattr("lamm.engine.DATASET_REGISTRY", registry)
    foreign = type("Caltech101", (), {})
    registry.register(foreign)
    register_datasets()
    assert registry.get("Caltech101") is foreign
    assert sorted(registry.registered_names()) == sorted(DATASETS.values())
    assert log_lines == [f'"Caltech101" is that of {__name__}, not that of lamm.datasets.benchmark']


def test_importing_the_package_or_its_templates_loads_no_engine() -> None:
    code = "import sys, lamm.datasets, lamm.datasets; sys.exit('lamm.engine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_config_file_holds_the_registered_name_and_nothing_else() -> None:
    for name, class_name in DATASETS.items():
        content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
        assert content == {"DATASET": {"NAME": class_name}}


def test_every_data_set_has_a_template_with_one_place_for_the_name() -> None:
    assert set(TEMPLATES) == set(DATASETS.values())
    assert all(template.count("{}") == 1 for template in TEMPLATES.values())


def test_an_unknown_data_set_gets_the_plain_template_and_a_log_line(logged: list[str]) -> None:
    assert template_of("MYCIFAR100") == "a photo of a {}."
    assert logged == ['no prompt template is known for data set "MYCIFAR100": using "a photo of a {}."']
    assert template_of("EuroSAT") == "a centered satellite photo of {}."
    assert len(logged) == 1


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
