"""Classes that come, change and go, the others as they are."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lamm
from lamm.errors import ConfigError, DataError
from lamm.estimator.file import no_photos
from tests.estimator.small_photos import COLOURS, NAMES, classifier, clone_of, photo, photos_of


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
