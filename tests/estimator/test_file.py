"""One file: what it holds, what it becomes, and what is not such a file."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.base import clone

import lamm
from lamm.errors import CheckpointError, ConfigError
from lamm.estimator.file import load_knowledge
from tests.estimator.small_photos import classifier, photos_of


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


def test_a_loaded_classifier_fits_as_it_was_fitted(folder: Path, tmp_path: Path) -> None:
    paths, names = photos_of(folder)
    fitted = classifier(folds=0, seed=4).fit(paths, names)
    fitted.save(tmp_path / "a.lamm")
    again = clone(lamm.load(tmp_path / "a.lamm")).set_params(folds=0).fit(paths, names)
    np.testing.assert_array_equal(again.text_features_, fitted.text_features_)
