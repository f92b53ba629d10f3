"""Folders of runs as `train.py` leaves them, small and made up: written through the project's own writers."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image

from lamm.report.material import Material, gather
from lamm.report.page import write_report
from lamm.report.paper import PaperTable
from lamm.results.published import published
from lamm.results.run_files import ClassFeatures, Prediction, write_predictions
from lamm.results.schema import RunResults
from lamm.run.record import RunClasses

CLASSES = ["zebra star", "onion star", "wall arrow"]
COLOURS = ["red", "green", "blue"]
ELEVEN = published("few_shot").trained_on
CFG = "vit_b16_ep50_ctxv1"


class RunTree:
    """Writes runs below `output`, and a data root with a picture for each test image.

    Args:
        folder: Where both come to lie.
    """

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        self.data = folder / "data"

    def run(self, accuracy: float = 60.0, seed: int = 1, **changes: Any) -> Path:
        """A finished run that has results.json and config.yaml alone; its folder.

        Args:
            accuracy: In percent.
            seed: Of the run.
            changes: Of fields of `RunResults`; `backbone` and `config` (a nested dict) are config.yaml's.
        """
        backbone, config = changes.pop("backbone", "tiny"), changes.pop("config", {})
        values: dict[str, Any] = {"dataset": "digits", "shots": 16, "trainer": "LAMM", "cfg": "tiny_ep50"}
        values |= {"split": "test", "protocol": "few-shot", "precision": "fp32", "config_hash": "c0ffee"}
        values |= {"status": "finished", "trainable_parameters": 1280, "seconds_train": 30.5, "peak_memory_mb": 812.0}
        metrics = {"accuracy": accuracy, "error_rate": 100 - accuracy, "macro_f1": accuracy - 1}
        metrics |= changes.pop("metrics", {})
        results = RunResults(**(values | {"seed": seed, "metrics": metrics} | changes))
        cfg, _, step = results.cfg.partition("/")
        parts = [results.dataset, f"shots_{results.shots}", results.trainer, cfg, f"seed{seed}", step]
        start = self.output / results.protocol if results.protocol in ("evaluation", "incremental") else self.output
        folder = start.joinpath(*parts)
        results.write(folder / "results.json")
        content = {"DATASET": {"ROOT": str(self.data)}, "MODEL": {"BACKBONE": {"NAME": backbone}}, **config}
        (folder / "config.yaml").write_text(yaml.safe_dump(content))
        return folder

    def full_run(
        self, labels: Sequence[int], said: Sequence[int], names: Sequence[str] = CLASSES, **changes: Any
    ) -> Path:
        """A run with predictions, classes and class features; its accuracy follows from what it said.

        Args:
            labels: Of the test images.
            said: The predicted classes.
            names: Of the classes.
            changes: As for `run`.
        """
        right = sum(one == other for one, other in zip(labels, said, strict=True))
        folder = self.run(100 * right / len(labels), **changes)
        images = [f"digits/{number}.png" for number in range(len(labels))]
        for image, label in zip(images, labels, strict=True):
            self._picture(image, COLOURS[label % 3])
        confidence = [0.5 + number / 1000 for number in range(len(labels))]
        write_predictions(folder, [Prediction(*row) for row in zip(images, labels, said, confidence, strict=True)])
        RunClasses(list(names), []).write(folder)
        original = torch.nn.functional.normalize(torch.eye(len(names), 8) + 0.2, dim=1)
        learned = torch.nn.functional.normalize(original + 0.3 * original.roll(1, 1), dim=1)
        ClassFeatures(list(names), learned, original).save(folder)
        return folder

    def material(self, **arguments: Any) -> Material:
        """What is there, gathered."""
        return gather([self.output], **arguments)

    def page(self, **arguments: Any) -> str:
        """The report of what is there."""
        file = self.output.parent / "report.html"
        write_report(self.material(), file, **arguments)
        return file.read_text(encoding="utf-8")

    def _picture(self, name: str, colour: str) -> None:
        file = self.data / name
        if not file.exists():
            os.makedirs(file.parent, exist_ok=True)
            Image.new("RGB", (32, 32), colour).save(file)


LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
ZERO_SHOT = [1, 1, 0, 0, 1, 1, 1, 1, 0, 2]
LEARNED = {1: [0, 0, 0, 0, 1, 1, 0, 1, 2, 2], 2: [0, 0, 0, 1, 1, 1, 0, 0, 2, 2]}


def write_demo(tree: RunTree) -> None:
    """Two methods and zero-shot on 2 data sets, 1 and 16 shots, seeds 1 and 2; predictions: LAMM at 16, zero-shot."""
    for number, dataset in enumerate(("digits", "shapes")):
        tree.full_run(LABELS, ZERO_SHOT, trainer="ZeroshotCLIP", cfg="tiny", dataset=dataset)
        for seed, said in LEARNED.items():
            tree.full_run(LABELS, said, seed=seed, dataset=dataset)
            tree.run(51.0 + seed + number, seed=seed, dataset=dataset, shots=1)
            tree.run(72.0 - seed - number, seed=seed, dataset=dataset, trainer="CoOp")
            tree.run(40.0 + seed, seed=seed, dataset=dataset, trainer="CoOp", shots=1)


def lines_of(paper: PaperTable) -> dict[tuple[str, str], list[str]]:
    """(row, ours | paper | difference) → its cells."""
    assert paper.table is not None
    found, label = {}, ""
    for row in paper.table.rows:
        label = row[0].text or label
        found[label, row[1].text] = [cell.text for cell in row[2:]]
    return found


def write_eleven(tree: RunTree, accuracy: float, seeds: tuple[int, ...] = (1, 2, 3), **changes: object) -> None:
    """A run on each of the paper's data sets and seeds: `accuracy` on average."""
    for place, dataset in enumerate(ELEVEN):
        for seed in seeds:
            values = {"cfg": CFG, "backbone": "ViT-B/16"} | changes
            tree.run(accuracy + place - 5, seed, dataset=dataset, **values)
