"""`lamm.Classifier`: the trainers' numbers, scikit-learn's contract, what is refused."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import lamm
from lamm.errors import BackboneError, CheckpointError, ConfigError, DataError
from tests.estimator.small_photos import NAMES, classifier, clone_of, photos_of


@pytest.mark.usefixtures("two_threads")
def test_a_folder_gives_the_numbers_of_the_run_to_the_last_digit(folder: Path, tmp_path: Path) -> None:
    from tests.train_command import train

    own = classifier(seed=3, shots=4).fit(folder)
    options = ["--trainer", "LAMM_GDA", "--dataset", "folder", "--root", str(folder), "--shots", "4", "--seed", "3"]
    options += ["--config-file", "configs/trainers/LAMM_GDA/tiny_ep50.yaml", "--output-dir", str(tmp_path / "run")]
    train([*options, "INPUT.CACHE_VIEWS", "2", "OPTIM.MAX_EPOCH", "6"])
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert own.comparison_["LAMM_GDA"] == results["metrics"]["accuracy"]
    run = lamm.load(tmp_path / "run")
    assert run.classes_.tolist() == sorted(NAMES)
    np.testing.assert_array_equal(run.text_features_, own.text_features_)
    # The run's statistics are rounded to fp32, as the file's.
    paths, _ = photos_of(folder)
    np.testing.assert_allclose(run.decision_function(paths), own.decision_function(paths), rtol=1e-4, atol=1e-3)


def test_it_is_an_estimator_of_scikit_learn(folder: Path) -> None:
    paths, names = photos_of(folder)
    scores = cross_val_score(classifier(method="GDA"), np.array(paths), np.array(names), cv=2)
    assert scores.shape == (2,)
    assert scores.mean() > 0.9
    search = GridSearchCV(make_pipeline(classifier(method="GDA")), {"classifier__views": [1, 2]}, cv=2)
    assert search.fit(paths, names).predict(paths[:1]).tolist() == [names[0]]
    assert clone(classifier(seed=7)).get_params()["seed"] == 7


def test_paths_images_and_arrays_are_the_same_photos(whole: lamm.Classifier, folder: Path) -> None:
    paths, _ = photos_of(folder)
    images = [Image.open(path) for path in paths[::8]]
    expected = whole.predict_proba(paths[::8])
    np.testing.assert_allclose(whole.predict_proba(images), expected, atol=1e-5)
    np.testing.assert_allclose(whole.predict_proba([np.asarray(image) for image in images]), expected, atol=1e-5)
    np.testing.assert_allclose(whole.predict_proba([np.asarray(i) / 255 for i in images]), expected, atol=1e-5)


def test_photos_that_were_left_out_are_judged_beside_other_methods(whole: lamm.Classifier, folder: Path) -> None:
    paths, names = photos_of(folder)
    assert set(whole.comparison_) == {"LAMM_GDA", "GDA", "LinearProbe", "ZeroshotCLIP"}
    assert sorted(whole.photos_.tolist()) == sorted(paths)
    assert whole.left_out_probabilities_ is not None
    correct = whole.left_out_probabilities_.argmax(axis=1) == whole.labels_
    assert whole.comparison_["LAMM_GDA"] == pytest.approx(100 * correct.mean())
    of_path = dict(zip(paths, names, strict=True))
    assert [whole.classes_[label] for label in whole.labels_] == [of_path[path] for path in whole.photos_]


def test_one_photo_per_class_is_enough(folder: Path) -> None:
    paths, names = photos_of(folder)
    one = classifier(folds=2).fit(paths[::8], names[::8])
    assert one.predict(paths[::8]).tolist() == names[::8]
    assert one.left_out_probabilities_ is None
    with pytest.raises(ConfigError, match="left out"):
        one.predict(paths, unknown=True)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "notebook", "shown"), [(Terminal, 0, 1), (io.StringIO, 1, 1), (io.StringIO, 0, 0)])
def test_a_bar_tells_how_far_it_is_on_a_terminal_and_in_a_notebook(
    stream: type[io.StringIO], notebook: int, shown: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    one = classifier(method="GDA", folds=0).fit(*photos_of(folder))
    learned = sys.stderr.getvalue()  # type: ignore[attr-defined]
    one.add_class("more", photos_of(folder, NAMES[0])[0])
    grown = sys.stderr.getvalue()[len(learned) :]  # type: ignore[attr-defined]
    assert [("%|" in text) for text in (learned, grown)] == [bool(shown)] * 2


def test_numbers_stay_numbers_whatever_happens_to_the_classes(folder: Path, tmp_path: Path) -> None:
    paths, names = photos_of(folder)
    numbers = [10 * NAMES.index(name) for name in names]
    grown = classifier(method="GDA").fit(paths[:16], numbers[:16])
    assert grown.predict(paths[:9]).tolist() == numbers[:9]
    grown.add_class(20, paths[16:20]).add_photos(20, paths[20:24]).rename(0, 7)
    grown.save(tmp_path / "a.lamm")
    loaded = lamm.load(tmp_path / "a.lamm").merge(classifier(method="GDA").fit(paths[8:], numbers[8:]), "average")
    assert loaded.classes_.tolist() == [7, 10, 20, 30]
    assert loaded.remove(10).predict(paths[:1]).tolist() == [7]
    with pytest.raises(DataError, match='whole numbers: "star"'):
        grown.add_class("star", paths[24:])
    with pytest.raises(DataError, match='"07"'):
        grown.rename(7, "07")
    with pytest.raises(DataError, match="have 20"):
        loaded.merge(grown.remove(7), same="apart")
    with pytest.raises(ConfigError, match="whole numbers"):
        loaded.merge(classifier(method="GDA").fit(paths, names))
    with pytest.raises(DataError, match="float"):
        classifier(method="GDA").fit(paths, np.array(numbers, dtype=float))


def test_a_probability_is_asked_for_as_one(whole: lamm.Classifier, folder: Path) -> None:
    for wrong in (50, -1, float("nan"), "x"):
        with pytest.raises(ConfigError, match="min_confidence"):
            whole.predict(photos_of(folder)[0][:1], min_confidence=wrong)  # type: ignore[arg-type]


def test_a_classifier_can_be_pickled_and_used_in_threads(whole: lamm.Classifier, folder: Path) -> None:
    import pickle
    import sys
    from concurrent.futures import ThreadPoolExecutor

    paths, _ = photos_of(folder)
    expected, out = whole.predict_proba(paths), sys.stdout
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: whole.predict_proba(paths), range(8)):
            np.testing.assert_array_equal(found, expected)
    assert sys.stdout is out
    again = pickle.loads(pickle.dumps(whole))
    np.testing.assert_array_equal(again.predict(paths, unknown=True), whole.predict(paths, unknown=True))


def test_a_fit_that_is_stopped_leaves_the_classifier_as_it_was(folder: Path) -> None:
    def stop(share: float, what: str) -> None:
        if share > 0.9:
            raise KeyboardInterrupt

    one = classifier().fit(*photos_of(folder, *NAMES[:2]))
    before = one.predict_proba(photos_of(folder)[0]), one.photos_.tolist(), one.labels_.tolist()
    with pytest.raises(KeyboardInterrupt):
        one.fit(*photos_of(folder, *NAMES[1:]), progress=stop)
    np.testing.assert_array_equal(one.predict_proba(photos_of(folder)[0]), before[0])
    assert (one.photos_.tolist(), one.labels_.tolist()) == before[1:]


def test_images_are_told_by_their_number(folder: Path) -> None:
    paths, names = photos_of(folder, *NAMES[:2])
    images = [Image.open(path).copy() for path in paths]
    one = classifier(method="GDA", folds=2).fit([paths[0], *images[1:]], names)
    others = set(range(1, len(paths)))
    assert set(one.photos_.tolist()) == {paths[0], *others}
    assert [names[place] if place != paths[0] else names[0] for place in one.photos_] == [
        one.classes_[label] for label in one.labels_
    ]


def test_mistakes_are_told(folder: Path) -> None:
    paths, names = photos_of(folder)
    with pytest.raises(ConfigError, match="LAM"):
        classifier(method="LAMN").fit(paths, names)
    with pytest.raises(ConfigError, match="ZeroshotCLIP"):
        classifier(method="ZeroshotCLIP").fit(paths, names)
    with pytest.raises(DataError, match="31"):
        classifier().fit(paths, names[1:])
    with pytest.raises(DataError, match="one class"):
        classifier().fit(paths[:8], names[:8])
    with pytest.raises(DataError, match="names"):
        classifier().fit(paths)
    with pytest.raises(DataError, match="not a photo"):
        classifier().fit([np.zeros(3), np.zeros(3)], ["a", "b"])
    with pytest.raises(BackboneError):
        lamm.Classifier("ViT-B/16", weights="missing.pt").fit(paths, names)
    for wrong in ({"seed": -5}, {"seed": "a"}, {"shots": -2}, {"folds": 2.5}, {"settings": 3}, {"device": "banana"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            classifier(**wrong).fit(paths, names)
    for given in (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)):
        with pytest.raises(DataError, match="one photo"):
            classifier().fit(given, names)
    with pytest.raises(ConfigError, match="settings"):
        classifier(settings={1: 2}).fit(paths, names)
    with pytest.raises(ConfigError, match=r"OPTIM\.EPOCH"):
        classifier(settings={"OPTIM.EPOCH": 1}).fit(paths, names)


@pytest.mark.parametrize("name", ["a\nb", "a\0", "\x1b[31mred", "a\u2028b", "a\udcff", " ", "unknown"])
def test_a_name_that_is_not_a_line_of_text_is_refused_wherever_it_comes_from(
    name: str, whole: lamm.Classifier, folder: Path, tmp_path: Path
) -> None:
    paths, names = photos_of(folder)
    own, said = clone_of(whole), r"a name|no class"
    for what in (
        lambda: classifier().fit(paths, [name, *names[1:]]),
        lambda: own.add_class(name, paths[:1]),
        lambda: own.rename(NAMES[0], name),
    ):
        with pytest.raises(DataError, match=said) as told:
            what()
        assert str(told.value).isprintable()
    if name.isascii():
        known = whole._knowledge
        dataclasses.replace(known, names=[name, *known.names[1:]]).save(tmp_path / "a.lamm")
        with pytest.raises(CheckpointError, match=said):
            lamm.load(tmp_path / "a.lamm")
    if name.isascii() and "\0" not in name:
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "a.png").write_bytes(Path(paths[0]).read_bytes())
        with pytest.raises(DataError, match=said):
            own.update(tmp_path / "photos")
        for number, part in enumerate(("train", "test")):
            for of_class in (name, "other"):
                (tmp_path / "parts" / part / of_class).mkdir(parents=True)
                (tmp_path / "parts" / part / of_class / "a.png").write_bytes(Path(paths[number]).read_bytes())
        done: list[str] = []
        with pytest.raises(DataError, match=said):
            classifier().fit(tmp_path / "parts", progress=lambda share, what: done.append(what))
        assert "training" not in done
