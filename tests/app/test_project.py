"""A project on disk: changes, undo, two tabs, and what a killed process leaves."""

import json
from pathlib import Path

import pytest

from lamm.app import project as module
from lamm.app.project import Project, projects_below
from lamm.errors import DataError

A, B = "a" * 24 + ".png", "b" * 24 + ".png"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path, "Tiere & Käfer", {"backbone": "tiny"})


def names(project: Project) -> list[str]:
    return [one.name for one in project.state.classes]


def test_what_was_changed_is_there_when_it_is_opened_again(project: Project) -> None:
    cat = project.add_class("cat")
    project.add_photos(cat, {A: "IMG 1.png"})
    project.rename(cat, "黒猫 <b>")
    again = Project(project.folder)
    assert (again.name, again.settings) == ("Tiere & Käfer", {"backbone": "tiny"})
    assert again.state == project.state
    assert names(again) == ["黒猫 <b>"]
    assert again.state.labels() == {A: cat}


def test_undo_goes_back_step_by_step_and_redo_forward_again(project: Project) -> None:
    cat, dog = project.add_class("cat"), project.add_class("dog")
    project.add_photos(cat, {A: "1", B: "2"})
    project.move([A], dog)
    project.remove(cat)
    assert project.undo_title == 'Remove class "cat"'
    project.undo()
    assert project.state.labels() == {A: dog, B: cat}
    project.undo()
    assert project.state.labels() == {A: cat, B: cat}
    project.redo()
    again = Project(project.folder)
    assert again.state.labels() == {A: dog, B: cat}
    assert again.redo_title == 'Remove class "cat"'
    again.remove_photos([B])
    assert again.redo_title == ""


def test_one_upload_is_one_step_to_undo(project: Project) -> None:
    for file in (A, B):
        project.add_photos(project.add_class("cat", batch="upload"), {file: "x"}, "upload")
    project.undo()
    assert names(project) == []
    project.redo()
    assert set(project.state.labels()) == {A, B}


def test_a_process_killed_between_two_files_loses_the_last_change_only(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add_class("cat")

    def killed(path: Path, value: object) -> None:
        if path.name == module.PROJECT_FILE:
            raise KeyboardInterrupt
        original(path, value)

    original = module.write_json
    monkeypatch.setattr(module, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        project.add_class("dog")
    assert names(project) == names(Project(project.folder)) == ["cat"]
    monkeypatch.undo()
    again = Project(project.folder)
    again.add_class("cow")
    assert names(Project(project.folder)) == ["cat", "cow"]


def test_what_another_tab_removed_is_a_message_and_nothing_changes(project: Project) -> None:
    cat, dog = project.add_class("cat"), project.add_class("dog")
    project.add_photos(dog, {A: "1"})
    project.remove(cat)
    before = project.state
    for change in (
        lambda: project.rename(cat, "lion"),
        lambda: project.move([A], cat),
        lambda: project.add_photos(cat, {B: "2"}),
        lambda: project.move([B], dog),
    ):
        with pytest.raises(DataError, match="not there any more"):
            change()
    assert project.state is before


def test_a_photo_is_in_one_class_only(project: Project) -> None:
    cat, dog = project.add_class("cat"), project.add_class("dog")
    assert project.add_photos(cat, {A: "1"}) == 1
    assert project.add_photos(dog, {A: "1", B: "2"}) == 1
    assert project.state.labels() == {A: cat, B: dog}


@pytest.mark.parametrize("name", ["", "  ", " . ", "\0", "x" * 200])
def test_a_name_that_says_nothing_or_too_much_is_refused(project: Project, name: str) -> None:
    with pytest.raises(DataError, match="name"):
        project.add_class(name)


def test_two_classes_never_have_one_name(project: Project) -> None:
    cat = project.add_class("cat")
    assert project.add_class("Cat") == cat
    dog = project.add_class("dog")
    with pytest.raises(DataError, match="already"):
        project.rename(dog, "CAT")


def test_names_are_never_paths(project: Project) -> None:
    before = sorted(path.parent for path in project.folder.parent.rglob("*"))
    project.rename(project.add_class("../../evil"), "/etc/passwd")
    project.rename_project("../../../evil")
    assert sorted({path.parent for path in project.folder.parent.rglob("*")}) == sorted(set(before))
    evil = Project.create(project.folder.parent, "../../evil", {})
    assert evil.folder.parent == project.folder.parent
    with pytest.raises(DataError, match="not the name of a photo"):
        project.photo("../project.json")


def test_a_state_with_foreign_files_is_refused(project: Project) -> None:
    project.add_photos(project.add_class("cat"), {A: "1"})
    file = max((project.folder / "states").iterdir(), key=lambda path: int(path.stem))
    file.write_text(file.read_text(encoding="utf-8").replace(A, "../../secret.png"), encoding="utf-8")
    with pytest.raises(DataError, match="can't be read"):
        Project(project.folder)
    assert [name for _, name, _ in projects_below(project.folder.parent)] == ["Tiere & Käfer"]


def test_photos_that_no_step_can_bring_back_are_removed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STEPS", 2)
    cat = project.add_class("cat")
    for file in (A, B):
        (project.folder / "photos").mkdir(exist_ok=True)
        project.photo(file).write_bytes(b"x")
        project.add_photos(cat, {file: "x"})
    project.remove_photos([A])
    assert project.remove_unused() == 0
    project.rename(cat, "dog")
    project.rename(cat, "cow")
    assert project.remove_unused() == 1
    assert not project.photo(A).exists()
    assert project.photo(B).exists()
    assert len(list((project.folder / "states").iterdir())) == 3
    assert json.loads((project.folder / "project.json").read_text(encoding="utf-8"))["name"] == "Tiere & Käfer"
