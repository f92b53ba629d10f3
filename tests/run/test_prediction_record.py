"""What a run keeps of its last test: each image with its own prediction, or nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lamm.results.run_files import Prediction, read_predictions
from lamm.run.record import PredictionRecord

LABELS = [0, 1, 1]


class Evaluator:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.seen = 0

    def reset(self) -> None:
        self.seen = 0

    def process(self, output: Any, labels: Any) -> None:
        self.seen += len(labels)


def trainer_of(root: Path, sampler: str = "SequentialSampler") -> Any:
    """A trainer with three test images, one of them outside the data root."""
    paths = [root / "data" / "a b.png", root / "data" / "c.png", root / "elsewhere.png"]
    items = [SimpleNamespace(impath=str(path), label=label) for path, label in zip(paths, LABELS, strict=True)]
    cfg = SimpleNamespace(DATALOADER=SimpleNamespace(TEST=SimpleNamespace(SAMPLER=sampler)))
    dataset = SimpleNamespace(test=items, val=items[:1])
    return SimpleNamespace(evaluator=Evaluator(), dm=SimpleNamespace(dataset=dataset), cfg=cfg)


def give(trainer: Any, labels: list[int], scores: Any = None) -> None:
    """One pass as a trainer makes it, in batches of two."""
    trainer.evaluator.reset()
    scores = torch.eye(2)[[1] * len(labels)] if scores is None else scores
    for some, own in zip(scores.split(2), torch.tensor(labels).split(2), strict=True):
        trainer.evaluator.process(some, own)


def test_the_last_test_is_kept_with_paths_below_the_data_root(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    record = PredictionRecord(trainer)
    give(trainer, [1, 1, 1])
    give(trainer, LABELS)
    record.write(tmp_path, "test", str(tmp_path / "data"))
    sure = torch.softmax(torch.tensor([0.0, 1.0]), 0)[1].item()
    kept = read_predictions(tmp_path)
    assert kept is not None
    assert [one[:3] for one in kept] == [("a b.png", 0, 1), ("c.png", 1, 1), (str(tmp_path / "elsewhere.png"), 1, 1)]
    assert [one.confidence for one in kept] == pytest.approx([sure] * 3, abs=1e-4)
    assert trainer.evaluator.seen == 3


def test_a_validation_split_is_kept_when_that_was_tested(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    record = PredictionRecord(trainer)
    give(trainer, LABELS[:1])
    record.write(tmp_path, "val", str(tmp_path / "data"))
    [kept] = read_predictions(tmp_path) or []
    assert isinstance(kept, Prediction)
    assert kept.image == "a b.png"


@pytest.mark.parametrize("labels", [[1, 0, 1], [0, 1], [0, 1, 1, 1]])
def test_another_order_or_number_of_images_keeps_nothing(tmp_path: Path, labels: list[int]) -> None:
    trainer = trainer_of(tmp_path)
    record = PredictionRecord(trainer)
    give(trainer, labels)
    record.write(tmp_path, "test", str(tmp_path))
    assert read_predictions(tmp_path) is None


def test_a_random_order_keeps_nothing_even_if_the_labels_happen_to_fit(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, sampler="RandomSampler")
    record = PredictionRecord(trainer)
    give(trainer, LABELS)
    record.write(tmp_path, "test", str(tmp_path))
    assert read_predictions(tmp_path) is None


def test_outputs_that_are_no_logits_keep_nothing(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    record = PredictionRecord(trainer)
    give(trainer, LABELS, torch.zeros(3))
    record.write(tmp_path, "test", str(tmp_path))
    assert read_predictions(tmp_path) is None
