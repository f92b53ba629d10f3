"""A classifier that follows its project: what changed is learned, and it is found again."""

import io
from pathlib import Path

import pytest
from PIL import Image

import lamm
from lamm.app.knowledge import Knowledge
from lamm.app.learned import Learned
from lamm.app.photos import store_photo
from lamm.app.project import Project
from lamm.app.review import Review, judged

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 40), "blue": (40, 60, 220)}
SETTINGS = {"backbone": "tiny", "method": "GDA", "folds": 2}


def photo(project: Project, colour: tuple[int, int, int], number: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), tuple(max(0, part - 4 * number) for part in colour)).save(buffer, "PNG")
    return store_photo(buffer.getvalue(), "photo.png", project.folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three classes of four photos; one blue photo lies in the class of the green ones."""
    project = Project.create(tmp_path, "Colours", SETTINGS)
    for name, colour in COLOURS.items():
        project.add_photos(project.add_class(name), {photo(project, colour, number): "x" for number in range(4)})
    blue, green = project.state.classes[2], project.state.classes[1]
    project.move([next(iter(blue.photos))], green.id)
    return project


def silent(share: float, text: str) -> None:
    """Nobody looks."""


def test_a_classifier_follows_every_change_and_is_found_again(project: Project) -> None:
    learned = Learned.train(project, silent)
    red, green, blue = project.state.classes
    assert set(learned.review.left_out) == set(project.state.labels())
    wrong = [one for one in judged(learned.review, project.state) if one.taken_for != one.class_id]
    moved = [file for file in project.state.labels() if file in green.photos][-1]
    assert [(one.file, one.taken_for) for one in wrong] == [(moved, blue.id)]

    def follows() -> list[str]:
        assert learned.is_behind(project.state)
        learned.follow(project, silent)
        assert not learned.is_behind(project.state)
        again = Learned.load(project)
        assert again is not None
        assert not again.is_behind(project.state)
        files = list(project.state.labels())
        for one in (learned, again):
            answers = one.predict(project, files)
            best = [answer.ranked[0][0] for answer in answers]
            assert best == list(project.state.labels().values())
        return [str(name) for name in again.classifier.classes_]

    project.move([moved], blue.id)
    assert sorted(follows()) == ["blue", "green", "red"]
    project.rename(red.id, "for a moment")
    project.rename(blue.id, "red")
    project.rename(red.id, "blue")
    follows()
    project.remove_photos([moved])
    follows()
    yellow = project.add_class("yellow")
    project.add_photos(yellow, {photo(project, (230, 220, 40), number): "x" for number in range(3)})
    assert "yellow" in follows()
    project.remove(yellow)
    assert "yellow" not in follows()
    project.undo()
    assert "yellow" in follows()


def test_classes_that_change_all_their_photos_are_learned_anew(tmp_path: Path) -> None:
    project = Project.create(tmp_path, "Two", SETTINGS | {"folds": 0})
    photos = {name: photo(project, COLOURS[name], 0) for name in ("red", "green")}
    for name, file in photos.items():
        project.add_photos(project.add_class(name), {file: "x"})
    learned = Learned.train(project, silent)
    first, second = project.state.classes
    project.move([photos["green"]], first.id)
    project.move([photos["red"]], second.id)
    learned.follow(project, silent)
    assert not learned.is_behind(project.state)
    anew = Learned.train(project, silent)
    for file in photos.values():
        shares = [dict(one.predict(project, [file])[0].ranked) for one in (learned, anew)]
        assert shares[0] == pytest.approx(shares[1], abs=1e-5)


def test_classes_of_another_file_stay_after_training_anew(project: Project, tmp_path: Path) -> None:
    other = Project.create(tmp_path, "Greys", SETTINGS)
    for name, grey in {"black": 10, "white": 240}.items():
        other.add_photos(other.add_class(name), {photo(other, (grey,) * 3, number): "x" for number in range(3)})
    (project.folder / "files").mkdir()
    theirs = Learned.train(other, silent)
    theirs.classifier.save(project.folder / "files" / "greys.lamm")
    white = project.add_class("white", "greys.lamm")
    project.rename(white, "snow")
    learned = Learned.train(project, silent)
    assert sorted(map(str, learned.classifier.classes_)) == ["blue", "green", "red", "snow"]
    file = photo(project, (240,) * 3, 1)
    assert learned.predict(project, [file])[0].ranked[0][0] == white


def test_a_project_that_is_emptied_keeps_what_it_has_learned_for_the_undo(project: Project) -> None:
    learned = Learned.train(project, silent)
    for one in project.state.classes:
        project.remove(one.id)
    assert not learned.is_behind(project.state)
    for _ in range(2):
        project.undo()
        learned.follow(project, silent)
        assert not learned.is_behind(project.state)
    other = project.add_class("yellow")
    project.add_photos(other, {photo(project, (230, 220, 40), number): "x" for number in range(3)})
    for one in project.state.classes[:-1]:
        project.remove(one.id)
    learned.follow(project, silent)
    assert [str(name) for name in learned.classifier.classes_] == ["yellow"]


def test_a_change_that_is_stopped_changes_nothing(project: Project) -> None:
    learned = Learned.train(project, silent)

    def stop(share: float, text: str) -> None:
        raise KeyboardInterrupt

    before = learned.classifier.classes_.tolist(), dict(learned.names), dict(learned.labels)
    project.remove(project.state.classes[0].id)
    project.move([next(iter(project.state.classes[0].photos))], project.state.classes[1].id)
    with pytest.raises(KeyboardInterrupt):
        learned.follow(project, stop)
    assert (learned.classifier.classes_.tolist(), learned.names, learned.labels) == before
    learned.follow(project, silent)
    assert not learned.is_behind(project.state)


def test_a_class_of_a_file_that_loses_its_only_photo_is_that_of_the_file_again(
    project: Project, tmp_path: Path
) -> None:
    learned = Learned.train(project, silent)
    learned.classifier.save(tmp_path / "other.lamm")
    other = lamm.load(tmp_path / "other.lamm").remove("green").remove("blue").rename("red", "cherry")
    (project.folder / "files").mkdir(exist_ok=True)
    other.save(project.folder / "files" / "other.lamm")
    cherry = project.add_class("cherry", "other.lamm")
    learned.follow(project, silent)
    text = learned.classifier.text_features_[learned.classifier.classes_.tolist().index("cherry")]
    project.add_photos(cherry, {photo(project, (200, 40, 40), 1): "x"})
    learned.follow(project, silent)
    project.undo()
    learned.follow(project, silent)
    assert not learned.is_behind(project.state)
    again = learned.classifier.text_features_[learned.classifier.classes_.tolist().index("cherry")]
    assert (again == text).all()


def test_names_alone_are_judged_photo_by_photo(project: Project) -> None:
    red, green, blue = project.state.classes
    known = Knowledge(
        {red.id: "red", green.id: "green", blue.id: "blue"},
        {"1": red.id, "2": red.id, "3": green.id, "4": blue.id},
        {"1": red.id, "2": blue.id, "3": green.id, "4": green.id},
    )
    assert known.of_class(red.id) == (1, 2, [("blue", 1)])
    assert known.accuracy == 50
    asked = Knowledge.ask(project, silent, {red.id: "a name to try"})
    assert asked.names[red.id] == "a name to try"
    assert asked.taken_for.keys() == project.state.labels().keys()


def test_a_photo_in_a_class_that_was_removed_is_not_judged(project: Project) -> None:
    red, green, blue = project.state.classes
    file, other = next(iter(red.photos)), next(iter(green.photos))
    review = Review(classes=(red.id, green.id, blue.id), left_out={file: (0.2, 0.7, 0.1), other: (0.6, 0.3, 0.1)})
    assert [(one.file, one.taken_for) for one in judged(review, project.state)] == [(file, green.id), (other, red.id)]
    project.remove(green.id)
    assert [(one.file, one.taken_for) for one in judged(review, project.state)] == [(file, red.id)]
