"""`lamm.Classifier`: the trainers' numbers, scikit-learn's contract, one file, classes that come and go."""

import dataclasses
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import lamm
from lamm.errors import BackboneError, CheckpointError, ConfigError, DataError
from lamm.estimator.file import load_knowledge, no_photos

QUICK = {"OPTIM.MAX_EPOCH": 6}
NAMES = ("red square", "green circle", "blue star", "white cross")
COLOURS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240))


def photo(colour: tuple[int, int, int], generator: np.random.Generator) -> np.ndarray:
    pixels = np.array(colour) + generator.normal(0, 25, (36, 36, 3))
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of each of four classes, in a folder each."""
    top, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in zip(NAMES, COLOURS, strict=True):
        (top / name).mkdir()
        for number in range(8):
            Image.fromarray(photo(colour, generator)).save(top / name / f"{number}.png")
    return top


def photos_of(folder: Path, *names: str) -> tuple[list[str], list[str]]:
    files = [(str(file), name) for name in names or NAMES for file in sorted((folder / name).glob("*.png"))]
    return [path for path, _ in files], [name for _, name in files]


def classifier(**options: Any) -> lamm.Classifier:
    usual = {"backbone": "tiny", "folds": 0, "views": 2, "settings": QUICK}
    return lamm.Classifier(**{**usual, **options})


@pytest.fixture(scope="module")
def whole(folder: Path) -> lamm.Classifier:
    """All four classes, with folds."""
    return classifier(folds=2).fit(*photos_of(folder))


@pytest.fixture
def fitted(folder: Path) -> Iterator[lamm.Classifier]:
    """Three of the classes."""
    return classifier().fit(*photos_of(folder, *NAMES[:3]))


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As many as a user's machine has at least; tests beside each other have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


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


def test_the_file_holds_the_same_classifier_and_neither_photo_nor_path(
    whole: lamm.Classifier, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "animals.lamm"
    whole.save(file)
    paths, _ = photos_of(folder)
    loaded = lamm.load(file)
    np.testing.assert_array_equal(loaded.decision_function(paths), whole.decision_function(paths))
    np.testing.assert_array_equal(loaded.predict_proba(paths), whole.predict_proba(paths))
    assert loaded.comparison_ == whole.comparison_
    assert loaded.confidence_ == whole.confidence_
    content = file.read_bytes()
    assert all(text.encode() not in content for text in (str(folder), str(tmp_path), str(Path.home())))
    with safe_open(file, framework="pt") as opened:
        described = json.loads(opened.metadata()["knowledge"])
    assert [one["photos"] for one in described["classes"]] == [8] * 4
    whole.save(file)
    assert file.read_bytes() == content


def test_a_file_becomes_the_folder_of_a_run_and_back(whole: lamm.Classifier, folder: Path, tmp_path: Path) -> None:
    whole.to_run(tmp_path / "run")
    back, (paths, _) = lamm.load(tmp_path / "run"), photos_of(folder)
    np.testing.assert_allclose(back.decision_function(paths), whole.decision_function(paths), atol=1e-4)
    with pytest.raises(ConfigError, match="run"):
        whole.to_run(tmp_path / "run")


def test_a_file_is_evaluated_as_it_sees_images(whole: lamm.Classifier, folder: Path, tmp_path: Path) -> None:
    from tests.train_command import plan

    whole.save(tmp_path / "a.lamm")
    line = f"--trainer LAMM_GDA --dataset folder --root {folder} --eval-only --model-dir {tmp_path / 'a.lamm'}"
    planned = plan(line).cfg
    assert (planned.MODEL.BACKBONE.NAME, tuple(planned.INPUT.SIZE), planned.INPUT.EXIF) == ("tiny", (32, 32), "apply")
    assert plan(f"{line} --backbone ViT-B/32").cfg.MODEL.BACKBONE.NAME == "ViT-B/32"


def test_a_hundred_classes_of_the_size_of_vit_b_16_take_less_than_two_megabytes(tmp_path: Path) -> None:
    from lamm.estimator.file import Knowledge, Origin
    from lamm.gda import ClassStatistics

    names = [f"class {number}" for number in range(100)]
    statistics = ClassStatistics(torch.ones(100), torch.rand(100, 512), torch.eye(512))
    learned = {"label_embeddings": torch.rand(300, 512)}
    backbone = {"name": "ViT-B/16", "embedding_size": 512, "image_size": 224, "weights": "", "precision": "fp32"}
    photos = [torch.zeros(16, 8, dtype=torch.uint8)] * 100
    extra = {"label_counts": [3] * 100}
    Knowledge(
        *("LAMM_GDA", {}, backbone, names, names, [Origin("fit", "2026-01-01", 16)] * 100, learned, extra),
        *(torch.rand(100, 512), statistics, 8, photos),
    ).save(tmp_path / "large.lamm")
    assert (tmp_path / "large.lamm").stat().st_size <= 2e6
    assert len(load_knowledge(tmp_path / "large.lamm").names) == 100


def test_what_is_not_such_a_file_is_refused(whole: lamm.Classifier, tmp_path: Path) -> None:
    file = tmp_path / "a.lamm"
    whole.save(file)
    content = file.read_bytes()
    hostile = content.replace(b"INPUT.CACHE_VIEWS", b"MODEL.INIT_WEIGHT")  # a key that no such file has
    assert hostile != content
    for damaged in (hostile, b"", content[:100], content[: len(content) // 2], content.replace(b'"text"', b'"tixt"')):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"a\.lamm"):
            lamm.load(file)
    known = whole._knowledge
    assert known.statistics is not None
    for replaced in (
        {"views": 10**12},
        {"statistics": dataclasses.replace(known.statistics, count=known.statistics.count + 1e17)},
    ):
        dataclasses.replace(known, **replaced).save(tmp_path / "mad.lamm")
        with pytest.raises(CheckpointError, match=r"mad\.lamm"):
            lamm.load(tmp_path / "mad.lamm")
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.lamm"):
        whole.save(file)
    assert file.read_text() == "mine"


def test_an_added_class_leaves_the_others_as_they_are_bit_for_bit(fitted: lamm.Classifier, folder: Path) -> None:
    before, vectors = fitted.text_features_.copy(), fitted._knowledge.learned["label_embeddings"].clone()
    paths, names = photos_of(folder)
    fitted.add_class(NAMES[3], photos_of(folder, NAMES[3])[0])
    assert fitted.classes_.tolist() == [*sorted(NAMES[:3]), NAMES[3]]
    np.testing.assert_array_equal(fitted.text_features_[:3], before)
    assert torch.equal(fitted._knowledge.learned["label_embeddings"][: len(vectors)], vectors)
    assert fitted.score(paths, names) > 0.9


def test_statistics_of_classes_that_came_later_are_those_of_all_at_once(folder: Path) -> None:
    paths, names = photos_of(folder)
    whole = classifier(method="GDA").fit(paths, names)
    grown = classifier(method="GDA").fit(*photos_of(folder, NAMES[1], NAMES[3]))
    grown.add_classes({name: photos_of(folder, name)[0] for name in (NAMES[0], NAMES[2])})
    order = [grown.classes_.tolist().index(name) for name in whole.classes_]
    grown._knowledge.learned.update(whole._knowledge.learned)  # the same weight and shrinkage
    grown._keep(grown._knowledge)
    scores = grown.decision_function(paths)[:, order]
    np.testing.assert_allclose(scores, whole.decision_function(paths), rtol=1e-3, atol=1e-2)


def test_a_photo_is_moved_and_photos_are_added_once(fitted: lamm.Classifier, folder: Path) -> None:
    paths, _ = photos_of(folder, *sorted(NAMES[:3]))
    first, second, third = fitted.classes_.tolist()
    before = fitted.text_features_.copy()
    fitted.move(paths[0], first, second)
    statistics = fitted._knowledge.statistics
    assert statistics is not None
    assert statistics.count.tolist() == [14, 18, 16]  # of two views each
    np.testing.assert_array_equal(fitted.text_features_[2], before[2])
    fitted.add_photos(third, paths[16:])
    assert [len(rows) for rows in fitted._knowledge.photos] == [7, 9, 8]
    fitted.add_photos(second, paths[1:2]).move(paths[1], first, second)  # where it is already
    assert [len(rows) for rows in fitted._knowledge.photos] == [6, 10, 8]
    assert fitted._knowledge.statistics.count.tolist() == [12, 20, 16]
    with pytest.raises(DataError, match=first):
        fitted.move(paths[0], first, second)


def test_photos_that_are_removed_are_in_no_sum_any_more(folder: Path) -> None:
    paths, names = photos_of(folder, *NAMES[:2])
    grown = classifier().fit(paths, names)
    first, second = grown.classes_.tolist()
    own, before = photos_of(folder, first)[0], grown.text_features_.copy()
    grown.remove_photos(first, own[5:])
    cached = grown._views_of([*own[:5], *photos_of(folder, second)[0]])  # (13, 2, E)
    statistics = grown._knowledge.statistics
    assert statistics is not None
    assert statistics.count.tolist() == [10, 16]
    np.testing.assert_allclose(statistics.sum[0], cached[:5].sum(dim=(0, 1)), atol=1e-4)
    rows = cached.flatten(0, 1).double()
    np.testing.assert_allclose(statistics.outer, rows.T @ rows, atol=1e-4)
    np.testing.assert_array_equal(grown.text_features_[1], before[1])
    assert (grown.text_features_[0] != before[0]).any()
    assert grown._knowledge.origins[0].photos == 5
    assert first not in grown.update(folder)
    with pytest.raises(DataError, match=r"7\.png"):
        grown.remove_photos(first, own[7:])
    with pytest.raises(DataError, match="remove the class"):
        grown.remove_photos(first, own[:5])


def test_confidence_says_which_classes_it_was_measured_with(
    whole: lamm.Classifier, folder: Path, tmp_path: Path
) -> None:
    grown = clone_of(whole).rename(NAMES[0], "ruby").remove(NAMES[1])
    grown.save(tmp_path / "a.lamm")
    measured = tuple("ruby" if name == NAMES[0] else name for name in sorted(NAMES))
    for one in (grown, lamm.load(tmp_path / "a.lamm")):
        assert one.confidence_ == dataclasses.replace(whole.confidence_, classes=measured)
        assert set(one.predict(photos_of(folder)[0], unknown=True)) <= {"unknown", *one.classes_}


def test_a_probability_is_asked_for_as_one(whole: lamm.Classifier, folder: Path) -> None:
    for wrong in (50, -1, float("nan"), "x"):
        with pytest.raises(ConfigError, match="min_confidence"):
            whole.predict(photos_of(folder)[0][:1], min_confidence=wrong)  # type: ignore[arg-type]


def test_a_class_is_renamed_and_removed(fitted: lamm.Classifier, folder: Path) -> None:
    paths, _names = photos_of(folder, *NAMES[:3])
    before = fitted.text_features_.copy()
    fitted.rename(NAMES[0], "ruby")
    assert fitted.predict(paths[:1]).tolist() == ["ruby"]
    np.testing.assert_array_equal(fitted.text_features_, before)
    fitted.remove(NAMES[1])
    assert fitted.classes_.tolist() == ["blue star", "ruby"]
    with pytest.raises(DataError, match="ruby"):
        fitted.rename("blue star", "ruby")
    with pytest.raises(DataError, match="rubi"):
        fitted.remove("rubi")
    with pytest.raises(DataError, match="last class"):
        fitted.remove("ruby").remove("blue star")


def test_two_classifiers_are_merged_as_what_both_have_says(folder: Path) -> None:
    one = classifier().fit(*photos_of(folder, *NAMES[:3]))
    other = classifier().fit(*photos_of(folder, *NAMES[2:]))
    with pytest.raises(DataError, match="blue star"):
        one.merge(other)
    own = one.classes_.tolist()
    paths, names = photos_of(folder)
    averaged = lamm.Classifier.merge(clone_of(one), other, same="average")
    assert averaged.classes_.tolist() == [*own, NAMES[3]]
    assert averaged.score(paths, names) > 0.9
    apart = clone_of(one).merge(other, same="apart")
    assert apart.classes_.tolist() == [*own, "blue star (2)", NAMES[3]]
    np.testing.assert_array_equal(apart.text_features_[3:], other.text_features_)
    with pytest.raises(ConfigError, match="views"):
        one.merge(classifier(views=1).fit(*photos_of(folder, *NAMES[2:])))
    with pytest.raises(ConfigError, match="GDA"):
        one.merge(classifier(method="GDA").fit(*photos_of(folder, *NAMES[2:])))


def test_no_photo_counts_twice_in_a_merged_class(folder: Path) -> None:
    (paths, names), last = photos_of(folder, *NAMES[:2]), photos_of(folder, NAMES[2])
    one = classifier(method="LAMM_GDA").fit(paths, names)
    before = one._knowledge
    assert clone_of(one).merge(one, same="average")._knowledge is before
    for known in (before, dataclasses.replace(before, photos=[no_photos()] * 2)):  # a run has no hashes of photos
        grown = clone_of(one).add_class(NAMES[2], last[0])
        grown._keep(dataclasses.replace(grown._knowledge, photos=[*known.photos, grown._knowledge.photos[2]]))
        joined = clone_of(one).merge(grown, same="average")
        assert joined._knowledge.statistics.count.tolist() == [16, 16, 16]  # of two views each
        assert [origin.photos for origin in joined._knowledge.origins] == [8, 8, 8]
        np.testing.assert_array_equal(joined.text_features_[:2], one.text_features_)
    other = classifier().fit([*last[0], *paths[5:]], [NAMES[0], *last[1][1:], *names[5:]])
    with pytest.raises(DataError, match=f'"{NAMES[0]}" was learned from 3 of the same photos'):
        one.merge(other, same="average")
    assert one._knowledge is before
    assert len(one.merge(other, same="apart").classes_) == 5


def clone_of(one: lamm.Classifier) -> lamm.Classifier:
    other = lamm.Classifier(**one.get_params())
    other.__dict__.update(one.__dict__)
    return other


def test_what_was_moved_renamed_removed_or_held_out_is_not_learned_again(folder: Path) -> None:
    grown = classifier(method="GDA", shots=3).fit(folder)
    assert grown.update(folder) != {}  # photos beyond the shots, but none of those that are held out
    statistics = grown._knowledge.statistics
    assert statistics is not None
    assert statistics.count.tolist() == [2 * 5] * 4  # of 8 photos two are for the test and one for validation
    first, second, third, _ = grown.classes_.tolist()
    own = [row.tolist() for row in grown._knowledge.photos[0]]
    paths, _ = photos_of(folder, first)
    from lamm.estimator.model import photo_hashes

    learned = next(path for path in paths if photo_hashes([path])[0].tolist() in own)
    grown.move(learned, first, second).rename(second, "azure").remove(third)
    assert grown.update(folder) == {}


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


def test_a_loaded_classifier_fits_as_it_was_fitted(folder: Path, tmp_path: Path) -> None:
    paths, names = photos_of(folder)
    fitted = classifier(folds=0, seed=4).fit(paths, names)
    fitted.save(tmp_path / "a.lamm")
    again = clone(lamm.load(tmp_path / "a.lamm")).set_params(folds=0).fit(paths, names)
    np.testing.assert_array_equal(again.text_features_, fitted.text_features_)


def test_update_learns_only_what_is_new(folder: Path, tmp_path: Path) -> None:
    import shutil

    own = tmp_path / "photos"
    for name in NAMES[:2]:
        shutil.copytree(folder / name, own / name)
    grown = classifier().fit(*photos_of(own, *NAMES[:2]))
    assert grown.update(own) == {}
    shutil.copytree(folder / NAMES[2], own / NAMES[2])
    Image.fromarray(photo(COLOURS[0], np.random.default_rng(9))).save(own / NAMES[0] / "new.png")
    assert grown.update(own) == {NAMES[0]: 1, NAMES[2]: 8}
    assert grown.classes_.tolist() == [*sorted(NAMES[:2]), NAMES[2]]


def test_folders_of_a_class_under_its_first_and_its_present_name_go_together(folder: Path, tmp_path: Path) -> None:
    one = classifier().fit(*photos_of(folder, *NAMES[:2])).rename(NAMES[0], "crab")
    paths, _ = photos_of(folder, NAMES[2])
    for name, own in ((NAMES[0], paths[:1]), ("crab", paths[1:3]), ("cafe\u0301", paths[3:])):
        (tmp_path / "new" / name).mkdir(parents=True)
        for path in own:
            (tmp_path / "new" / name / Path(path).name).write_bytes(Path(path).read_bytes())
    assert one.update(tmp_path / "new") == {"crab": 3, "caf\u00e9": len(paths) - 3}
    with pytest.raises(DataError, match="there is a class"):
        one.add_class("cafe\u0301", paths[:1])  # looks the same


def test_what_was_left_out_belongs_to_the_classes_that_are_left(folder: Path) -> None:
    paths, names = photos_of(folder)
    one = classifier(folds=2).fit(paths, names)
    one.add_class("later", photos_of(folder, NAMES[0])[0][:2]).remove(NAMES[1])
    of_path = dict(zip(paths, names, strict=True))
    assert [one.classes_[label] for label in one.labels_] == [of_path[path] for path in one.photos_]
    assert set(one.photos_) == {path for path, name in of_path.items() if name != NAMES[1]}
    assert one.left_out_probabilities_ is not None
    assert one.left_out_probabilities_.shape == (len(one.photos_), len(NAMES) - 1)
    np.testing.assert_allclose(one.left_out_probabilities_.sum(axis=1), 1, rtol=1e-5)


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


def test_a_change_that_fails_changes_nothing(fitted: lamm.Classifier, folder: Path, tmp_path: Path) -> None:
    before = fitted._knowledge
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="broken"):
        fitted.add_class("broken", [tmp_path / "broken.png"])

    def stop(share: float, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted.add_class(NAMES[3], photos_of(folder, NAMES[3])[0], progress=stop)
    assert fitted._knowledge is before


def test_a_method_whose_classes_belong_together_is_fitted_saved_and_not_grown(folder: Path, tmp_path: Path) -> None:
    paths, names = photos_of(folder)
    maple = classifier(method="MaPLe_LAMM", settings={"OPTIM.MAX_EPOCH": 1}).fit(paths[::2], names[::2])
    maple.save(tmp_path / "maple.lamm")
    loaded = lamm.load(tmp_path / "maple.lamm")
    np.testing.assert_allclose(loaded.predict_proba(paths), maple.predict_proba(paths), atol=1e-6)
    with pytest.raises(ConfigError, match="MaPLe_LAMM"):
        maple.add_class("more", paths)


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
