"""A run's files, `results.json`, features and predictions: written, read, and refused when damaged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lamm.errors import ResultsError
from lamm.results.run_files import (
    CLASS_FEATURES_FILE,
    ClassFeatures,
    Prediction,
    read_predictions,
    write_predictions,
)
from lamm.results.schema import RunResults

RESULTS = RunResults(
    trainer="LAMM",
    dataset="digits",
    shots=16,
    seed=1,
    cfg="tiny_ep50",
    protocol="few_shot",
    split="test",
    precision="fp32",
    config_hash="c0ffee",
    status="finished",
    metrics={"accuracy": 64.5, "error_rate": 35.5, "macro_f1": 63.25},
    trainable_parameters=1280,
    seconds_train=31.5,
    versions={"torch": "2.15.0"},
)


def written(path: Path, **changes: object) -> Path:
    RESULTS.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_the_file_has_exactly_the_declared_fields_in_order(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "results.json")
    assert list(json.loads((tmp_path / "results.json").read_text())) == [
        *("schema_version", "trainer", "dataset", "shots", "seed", "cfg", "protocol", "split", "metrics"),
        *("trainable_parameters", "seconds_train", "peak_memory_mb", "precision", "config_hash", "versions", "status"),
        "seconds_by_part",
    ]


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "new folder" / "results.json")
    assert RunResults.read(tmp_path / "new folder" / "results.json") == RESULTS


def test_writing_leaves_no_other_file_behind(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "results.json")
    RESULTS.write(tmp_path / "results.json")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_running_run_may_have_no_metrics_yet() -> None:
    assert not replace(RESULTS, status="running", metrics={}).finished


def test_a_finished_run_must_have_its_metrics() -> None:
    with pytest.raises(ResultsError, match="lacks error_rate, macro_f1"):
        replace(RESULTS, metrics={"accuracy": 1.0})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("trainer", "", 'results.json: "trainer" must be a name'),
        ("shots", "16", '"shots" must be a whole number'),
        ("seed", -2, '"seed" must be a whole number from -1 up, got -2'),
        ("metrics", [1], '"metrics" must be an object'),
        ("metrics", {"accuracy": float("nan")}, '"metrics" must be an object of finite numbers'),
        ("trainable_parameters", 1.5, '"trainable_parameters" must be'),
        ("versions", {"torch": 2}, '"versions" must be'),
        ("status", "done", '"status" must be one of "running", "finished", got \'done\''),
        ("schema_version", 2, "schema_version 2, this version of the code reads 1"),
        ("acuracy", 1, 'unknown field "acuracy"'),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, field: str, value: object, message: str) -> None:
    with pytest.raises(ResultsError, match=message) as raised:
        RunResults.read(written(tmp_path / "results.json", **{field: value}))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 1}'])
def test_a_damaged_file_is_a_one_line_error_that_names_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(ResultsError, match=r"results\.json") as raised:
        RunResults.read(file)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"can't read .*No such file"):
        RunResults.read(tmp_path / "results.json")


OLD_HEADER = "image,label,predicted,confidence\n"
PREDICTIONS = [Prediction('odd, "name"/größe 1.jpg', 0, 0, 0.75), Prediction("b.png", 3, 1, 0.5, "=birne", "apfel")]


def features() -> ClassFeatures:
    original = F.normalize(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    return ClassFeatures(["null", "größe"], torch.stack([original[0], -original[1]]), original)


def test_features_are_read_as_they_were_written_in_half_precision(tmp_path: Path) -> None:
    features().save(tmp_path)
    read = ClassFeatures.load(tmp_path)
    assert read is not None
    assert read.class_names == ["null", "größe"]
    assert torch.equal(read.learned, features().learned.half().float())
    assert torch.equal(read.original, features().original.half().float())


def test_an_unmoved_class_moved_by_zero_and_an_opposite_one_by_two() -> None:
    assert features().moved().tolist() == pytest.approx([0, 2], abs=1e-6)


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_predictions(tmp_path, PREDICTIONS)
    assert read_predictions(tmp_path) == PREDICTIONS
    assert [one.right for one in PREDICTIONS] == [True, False]


def test_names_of_files_that_look_like_formulas_or_are_no_utf_8_come_back(tmp_path: Path) -> None:
    names = ["=1+1.png", "-x,y.png", "'@a.png", "\tb.png", "+5", "'c.png", 'd"\n.png', "e\udcff.png"]
    predictions = [Prediction(name, 0, 1, 0.5) for name in names]
    write_predictions(tmp_path, predictions)
    assert read_predictions(tmp_path) == predictions
    cells = (tmp_path / "predictions.csv").read_bytes().decode(errors="surrogateescape").splitlines()
    assert cells[1:4] == ["'=1+1.png,0,1,0.5000,,", '"\'-x,y.png",0,1,0.5000,,', "''@a.png,0,1,0.5000,,"]


def test_predictions_of_earlier_versions_have_no_names_and_are_read(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(f"{OLD_HEADER}a.png,0,1,0.5000\n")
    assert read_predictions(tmp_path) == [Prediction("a.png", 0, 1, 0.5)]


def test_a_folder_without_the_files_has_none(tmp_path: Path) -> None:
    assert ClassFeatures.load(tmp_path) is None
    assert read_predictions(tmp_path) is None


def test_damaged_features_are_refused(tmp_path: Path) -> None:
    (tmp_path / CLASS_FEATURES_FILE).write_bytes(b"{}")
    with pytest.raises(ResultsError, match="is damaged"):
        ClassFeatures.load(tmp_path)


@pytest.mark.parametrize("content", ["", f"{OLD_HEADER}a,0,zero,1\n", f"{OLD_HEADER}a,0,0,1,b,b\n", "\xff\xfe"])
def test_damaged_predictions_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "predictions.csv").write_text(content, encoding="latin-1")
    with pytest.raises(ResultsError, match=r"predictions\.csv is damaged"):
        read_predictions(tmp_path)


def test_a_file_of_a_version_without_seconds_by_part_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "results.json")
    content = json.loads(path.read_text())
    del content["seconds_by_part"]
    path.write_text(json.dumps(content))
    assert RunResults.read(path) == RESULTS
