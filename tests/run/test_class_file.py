"""`classes.json`: the classes of a run, kept in its folder."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lamm.errors import CheckpointError
from lamm.run.record import RunClasses


def trainer(class_names: Any, **more: Any) -> Any:
    return SimpleNamespace(dm=SimpleNamespace(dataset=SimpleNamespace(classnames=class_names)), **more)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    classes = RunClasses(["große Null", "a/b", "a/b"], ["a photo of a {}.", "art of the {}."])
    classes.write(tmp_path)
    assert RunClasses.read(tmp_path) == classes
    assert "große Null" in (tmp_path / "classes.json").read_text(encoding="utf-8")


def test_a_split_made_here_is_kept(tmp_path: Path) -> None:
    told = trainer(["a"])
    assert not RunClasses.of_trainer(told).split_made_here
    told.dm.dataset.split_made_here = True
    RunClasses.of_trainer(told).write(tmp_path)
    assert RunClasses.read(tmp_path) == RunClasses(["a"], [], split_made_here=True)


def test_a_file_of_an_earlier_version_says_nothing_of_the_split(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps({"class_names": ["a"], "templates": []}))
    assert RunClasses.read(tmp_path) == RunClasses(["a"], [])


def test_a_folder_without_the_file_has_no_classes(tmp_path: Path) -> None:
    assert RunClasses.read(tmp_path) is None


def test_a_trainer_tells_its_classes_and_templates() -> None:
    assert RunClasses.of_trainer(trainer(["a", "b"], templates=["{}"])) == RunClasses(["a", "b"], ["{}"])
    assert RunClasses.of_trainer(trainer(("a",))) == RunClasses(["a"], [])


@pytest.mark.parametrize("templates", [{"Caltech101": "a {}."}, "a {}.", 3, [1]])
def test_templates_of_another_kind_are_left_out(templates: Any) -> None:
    assert RunClasses.of_trainer(trainer(["a"], templates=templates)) == RunClasses(["a"], [])


def test_where_no_class_is_known_nothing_is_written(tmp_path: Path) -> None:
    RunClasses.of_trainer(trainer(None)).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", json.dumps({"class_names": [], "templates": []}), json.dumps({"class_names": [1]}), "\xff"],
)
def test_a_damaged_file_is_an_error_that_names_it(content: str, tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"classes\.json"):
        RunClasses.read(tmp_path)
