"""What a run leaves: `results.json` and `predictions.csv` of its last test, `classes.json`, and its recorded class."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from yacs.config import CfgNode

from lamm.engine import TRAINER_REGISTRY, get_cfg_default
from lamm.errors import CheckpointError, LammError
from lamm.results.run_files import Prediction, read_predictions
from lamm.run.record import Recorded, RecordedEvaluator, RunClasses, RunRecord, build_recorded
from lamm.run.timing import Clock

LABELS = [0, 1, 1]


class Evaluator:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.seen = 0

    def reset(self) -> None:
        self.seen = 0

    def process(self, output: Any, labels: Any) -> None:
        self.seen += len(labels)

    def evaluate(self) -> dict[str, Any]:
        return {"accuracy": 50, "error_rate": 50.0, "macro_f1": 40.0, "table": "no number"}


class TrainerAfterTest:
    """A trainer that has been tested, as far as its record looks at it."""

    seconds_test = 0.0

    def __init__(self, root: Path) -> None:
        paths = [root / "data" / "a b.png", root / "data" / "c.png", root / "elsewhere.png"]
        items = [SimpleNamespace(impath=str(path), label=label) for path, label in zip(paths, LABELS, strict=True)]
        self.dm = SimpleNamespace(dataset=SimpleNamespace(test=items, val=items[:1], classnames=["pear", "plum"]))
        self.evaluator = RecordedEvaluator(Evaluator())
        self.clock = Clock()
        self._optims: dict[str, Any] = {}


def record_of(trainer: Any, folder: Path, *options: str) -> RunRecord:
    cfg = get_cfg_default()
    cfg.merge_from_list(["DATASET.ROOT", str(folder / "data"), *options])
    names = {"trainer": "Some", "dataset": "some", "cfg_name": "cfg", "protocol": "few-shot"}
    plan: Any = SimpleNamespace(cfg=cfg, output_dir=folder, **names)
    return RunRecord(plan, trainer, "c0ffee")


def give(trainer: Any, labels: list[int], scores: Any = None) -> None:
    """One pass as a trainer makes it, in batches of two."""
    trainer.evaluator.reset()
    scores = torch.eye(2)[[1] * len(labels)] if scores is None else scores
    for some, own in zip(scores.split(2), torch.tensor(labels).split(2), strict=True):
        trainer.evaluator.process(some, own)


def test_the_last_test_is_written_with_paths_below_the_data_root(tmp_path: Path) -> None:
    trainer = TrainerAfterTest(tmp_path)
    record = record_of(trainer, tmp_path)
    give(trainer, [1, 1, 1])
    give(trainer, LABELS)
    record.write_predictions()
    sure = torch.softmax(torch.tensor([0.0, 1.0]), 0)[1].item()
    predictions = read_predictions(tmp_path)
    assert predictions is not None
    expected = [("a b.png", 0, 1), ("c.png", 1, 1), (str(tmp_path / "elsewhere.png"), 1, 1)]
    assert [one[:3] for one in predictions] == expected
    assert [one[4:] for one in predictions] == [("pear", "plum"), ("plum", "plum"), ("plum", "plum")]
    assert [one.confidence for one in predictions] == pytest.approx([sure] * 3, abs=1e-4)
    assert trainer.evaluator.seen == 3


def test_a_validation_split_is_written_when_that_was_tested(tmp_path: Path) -> None:
    trainer = TrainerAfterTest(tmp_path)
    record = record_of(trainer, tmp_path, "TEST.SPLIT", "val")
    give(trainer, LABELS[:1])
    record.write_predictions()
    [only] = read_predictions(tmp_path) or []
    assert isinstance(only, Prediction)
    assert only.image == "a b.png"


@pytest.mark.parametrize(
    ("labels", "scores", "options"),
    [
        ([1, 0, 1], None, []),
        ([0, 1], None, []),
        (LABELS, None, ["DATALOADER.TEST.SAMPLER", "RandomSampler"]),
        (LABELS, torch.zeros(3), []),
    ],
    ids=["another order", "too few", "random order", "no logits"],
)
def test_predictions_that_may_belong_to_other_images_are_not_written(
    tmp_path: Path, labels: list[int], scores: Any, options: list[str]
) -> None:
    trainer = TrainerAfterTest(tmp_path)
    record = record_of(trainer, tmp_path, *options)
    give(trainer, labels, scores)
    record.write_predictions()
    assert read_predictions(tmp_path) is None


def test_a_tested_run_is_finished_and_has_the_further_metrics(tmp_path: Path) -> None:
    trainer: Any = TrainerAfterTest(tmp_path)
    record = record_of(trainer, tmp_path)
    assert record.finish().status == "running"
    trainer.further_metrics = {"labels_learned": 2}
    trainer.evaluator.evaluate()
    results = record.finish()
    assert results.status == "finished"
    assert results.metrics == {"accuracy": 50, "error_rate": 50, "macro_f1": 40, "labels_learned": 2}


def test_confidence_is_measured_with_the_images_of_the_last_test(tmp_path: Path) -> None:
    trainer: Any = TrainerAfterTest(tmp_path)
    record = record_of(trainer, tmp_path)
    give(trainer, [1, 1, 1])
    sure = torch.tensor([0.6, 0.9, 0.7])  # of class 1, while the first image is of class 0
    give(trainer, LABELS, torch.stack([1 - sure, sure], dim=1).log())
    trainer.evaluator.evaluate()
    found = record.finish().metrics
    assert found["ece"] == pytest.approx(100 * (0.6 + 0.1 + 0.3) / 3, abs=1e-3)
    assert found["auroc"] == pytest.approx(100)


def test_where_all_are_right_nothing_is_told_from_wrong(tmp_path: Path) -> None:
    trainer: Any = TrainerAfterTest(tmp_path)
    record = record_of(trainer, tmp_path)
    give(trainer, [1, 1, 1])
    trainer.evaluator.evaluate()
    assert record.finish().metrics.keys() == {"accuracy", "error_rate", "macro_f1", "ece"}


def test_the_recorded_class_bears_the_registered_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Some:
        """Some trainer."""

        def __init__(self, cfg: CfgNode) -> None:
            self.evaluator = Evaluator()

    monkeypatch.setattr(TRAINER_REGISTRY, "get", {"Some": Some}.__getitem__)
    cfg = get_cfg_default()
    cfg.TRAINER.NAME = "Some"
    trainer = build_recorded(cfg)
    assert isinstance(trainer, Recorded)
    assert isinstance(trainer, Some)
    assert (type(trainer).__name__, type(trainer).__doc__) == ("Some", "Some trainer.")
    assert isinstance(trainer.evaluator, RecordedEvaluator)


def trainer_with(class_names: Any, **more: Any) -> Any:
    return SimpleNamespace(dm=SimpleNamespace(dataset=SimpleNamespace(classnames=class_names)), **more)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    classes = RunClasses(["große Null", "a/b", "a/b"], ["a photo of a {}.", "art of the {}."])
    classes.write(tmp_path)
    assert RunClasses.read(tmp_path) == classes
    assert "große Null" in (tmp_path / "classes.json").read_text(encoding="utf-8")


def test_a_split_made_here_is_kept(tmp_path: Path) -> None:
    told = trainer_with(["a"])
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
    assert RunClasses.of_trainer(trainer_with(["a", "b"], templates=["{}"])) == RunClasses(["a", "b"], ["{}"])
    assert RunClasses.of_trainer(trainer_with(("a",))) == RunClasses(["a"], [])


@pytest.mark.parametrize("templates", [{"Caltech101": "a {}."}, "a {}.", 3, [1]])
def test_templates_of_another_kind_are_left_out(templates: Any) -> None:
    assert RunClasses.of_trainer(trainer_with(["a"], templates=templates)) == RunClasses(["a"], [])


def test_where_no_class_is_known_nothing_is_written(tmp_path: Path) -> None:
    RunClasses.of_trainer(trainer_with(None)).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", json.dumps({"class_names": [], "templates": []}), json.dumps({"class_names": [1]}), "\xff"],
)
def test_a_damaged_file_is_an_error_that_names_it(content: str, tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"classes\.json"):
        RunClasses.read(tmp_path)


def test_scores_that_are_not_numbers_are_no_result() -> None:
    evaluator = RecordedEvaluator(Evaluator())
    evaluator.process(torch.tensor([[0.0, float("nan")]]), torch.tensor([0]))
    with pytest.raises(LammError, match="not a number"):
        evaluator.evaluate()
    assert not evaluator.metrics
