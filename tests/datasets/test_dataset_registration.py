"""Names of the data sets: on the command line, in the config files, in the engine's registry, and their templates."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lamm.datasets import DATASETS, register_datasets
from lamm.datasets.templates import TEMPLATES, template_of
from lamm.engine import DATASET_REGISTRY

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "datasets"


def test_every_data_set_is_registered_under_its_class_name() -> None:
    register_datasets()
    for name in DATASETS.values():
        assert DATASET_REGISTRY.get(name).__name__ == name


def test_registering_twice_is_silent(logged: list[str]) -> None:
    register_datasets()
    register_datasets()
    assert logged == []


def test_a_name_that_is_taken_is_left_alone_and_logged(monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    registry = type(DATASET_REGISTRY)("DATASET")
    monkeypatch.setattr("lamm.engine.DATASET_REGISTRY", registry)
    foreign = type("Caltech101", (), {})
    registry.register(foreign)
    register_datasets()
    assert registry.get("Caltech101") is foreign
    assert sorted(registry.registered_names()) == sorted(DATASETS.values())
    assert logged == ['data set "Caltech101" is registered already, by other code: left alone']


def test_importing_the_package_or_its_templates_loads_no_engine() -> None:
    code = "import sys, lamm.datasets, lamm.datasets.templates; sys.exit('lamm.engine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", DATASETS)
def test_a_config_file_holds_the_registered_name_and_nothing_else(name: str) -> None:
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert content == {"DATASET": {"NAME": DATASETS[name]}}


def test_every_data_set_has_a_template_with_one_place_for_the_name() -> None:
    assert set(TEMPLATES) == set(DATASETS.values())
    assert all(template.count("{}") == 1 for template in TEMPLATES.values())


def test_an_unknown_data_set_gets_the_plain_template_and_a_log_line(logged: list[str]) -> None:
    assert template_of("MYCIFAR100") == "a photo of a {}."
    assert logged == ['no prompt template is known for data set "MYCIFAR100": using "a photo of a {}."']
    assert template_of("EuroSAT") == "a centered satellite photo of {}."
    assert len(logged) == 1
