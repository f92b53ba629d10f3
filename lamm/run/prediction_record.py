"""Listens to a trainer's test and keeps what it said of every image.

Letters: B images, N classes.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamm.results.predictions import Prediction, write_predictions


class PredictionRecord:
    """The predictions of a trainer's last test.

    Args:
        trainer: the trainer object; its evaluator is listened to. One whose outputs are no logits (B, N) is heard out,
            but nothing is kept.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._said: list[tuple[int, int, float]] = []
        self._listen()

    def write(self, folder: Path, split: str, root: str) -> None:
        """Write `predictions.csv`, if there is a prediction for every image of the split that was tested, in its order.

        Args:
            folder: of the run.
            split: `test` or `val`.
            root: the data root.
        """
        dataset = self._trainer.dm.dataset
        items = (getattr(dataset, split, None) or dataset.test) if split == "val" else dataset.test
        in_order = self._trainer.cfg.DATALOADER.TEST.SAMPLER == "SequentialSampler"
        if in_order and self._said and [item.label for item in items] == [label for label, _, _ in self._said]:
            images = [_shown(item.impath, os.path.abspath(root)) for item in items]
            write_predictions(
                folder, [Prediction(image, *said) for image, said in zip(images, self._said, strict=True)]
            )

    def _listen(self) -> None:
        evaluator = self._trainer.evaluator
        reset, process = evaluator.reset, evaluator.process

        def forgotten() -> None:
            self._said.clear()
            reset()

        def kept(output: Any, labels: Any) -> None:
            process(output, labels)
            if isinstance(output, Tensor) and output.ndim == 2:
                confidence, predicted = torch.softmax(output.detach().float(), dim=1).max(dim=1)
                self._said += zip(labels.tolist(), predicted.tolist(), confidence.tolist(), strict=True)

        evaluator.reset = forgotten
        evaluator.process = kept


def _shown(path: str, root: str) -> str:
    """A file below the data root without it, any other one as it is."""
    path = os.path.abspath(path)
    return Path(os.path.relpath(path, root)).as_posix() if path.startswith(os.path.join(root, "")) else path
