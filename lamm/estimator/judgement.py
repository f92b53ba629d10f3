"""How good a classifier is: photos that were left out, judged by classifiers that have not seen them.

Letters: n photos, N classes, E embedding size.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamm.datasets import DEFAULT_TEMPLATE
from lamm.estimator.confidence import LeftOut, confidence_of
from lamm.estimator.file import Knowledge
from lamm.estimator.model import statistics_of
from lamm.estimator.progress import Shares
from lamm.estimator.training import folds_of, train_on_list, trainer_class
from lamm.scoring import TemplatePrompts

ZERO_SHOT = "ZeroshotCLIP"
COMPARED = ("GDA", "LinearProbe", ZERO_SHOT)
LIST = ("--dataset", "csv", "--csv", "photos.json")
"""In place of `--dataset folder`, for `train_on_list`, which puts its own list there."""


class Judged:
    """What a classifier learns of itself from photos that were left out."""

    method: str
    folds: int
    seed: int
    _clip: Any

    def _config(self, place: Sequence[str], method: str = "") -> Any:
        raise NotImplementedError

    def _scores(
        self, learner: Any, text: Tensor | None, cfg: Any, files: Sequence[str]
    ) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def _judge(
        self, files: Sequence[str], labels: np.ndarray, texts: list[str], methods: Sequence[str], shares: Shares
    ) -> dict[str, float]:
        """Score each photo by classifiers that have not seen it, and keep what the first method makes of it.

        Returns:
            Method → accuracy in percent; empty where no photo can be left out.
        """
        fold_of = folds_of(labels, self.folds, self.seed) if methods else np.full(len(labels), -1)
        folds = [np.flatnonzero(fold_of == fold) for fold in range(self.folds)]
        folds = [left for left in folds if len(left)]
        numbers = np.concatenate([np.zeros(0, dtype=int), *folds])
        all_files = np.array(files, dtype=str)
        self.photos_, self.labels_ = all_files[numbers], labels[numbers]
        self.left_out_probabilities_: np.ndarray | None = None
        self._left_out: list[LeftOut] = []
        if not folds:
            return {}
        accuracy: dict[str, float] = {}
        for method in methods:
            cfg, correct = self._config(LIST, method), 0
            for left in folds:
                seen = np.setdiff1d(np.arange(len(labels)), left)
                chosen, statistics = all_files[seen].tolist(), None
                if trainer_class(method).learner_class is None:
                    learner: Any = TemplatePrompts(self._clip, texts, [DEFAULT_TEMPLATE])
                    shares.next()
                else:
                    trainer = train_on_list(cfg, self._clip, chosen, labels[seen], texts, shares.next())
                    learner, statistics = trainer.learner, statistics_of(trainer)[0]
                with torch.no_grad():
                    text = None if learner.per_image else learner.text_features()
                scores, features = self._scores(learner, text, cfg, all_files[left].tolist())
                targets = torch.from_numpy(labels[left])
                correct += int((scores.argmax(dim=1) == targets).sum())
                if method == self.method:
                    self._left_out.append(LeftOut(scores, targets, features, statistics))
            accuracy[method] = 100.0 * correct / len(numbers)
        return accuracy

    def _forget_left_out(self, place: int) -> None:
        """Leave out a class that was removed: its photos, and its column."""
        if self.left_out_probabilities_ is not None and place < self.left_out_probabilities_.shape[1]:
            others = np.delete(self.left_out_probabilities_, place, axis=1)[self.labels_ != place]
            self.left_out_probabilities_ = others / others.sum(axis=1, keepdims=True).clip(min=1e-30)
        stay = self.labels_ != place
        self.photos_, self.labels_ = self.photos_[stay], self.labels_[stay]
        self.labels_ = self.labels_ - (self.labels_ > place)

    def _measured(self, knowledge: Knowledge, accuracy: dict[str, float], by: str) -> Knowledge:
        """The knowledge with what photos that were left out say of it."""
        calibrated = trainer_class(self.method).learner_class.is_calibrated
        confidence = confidence_of(self._left_out, knowledge.names, calibrated)
        if self._left_out:
            scores = torch.cat([one.scores for one in self._left_out])
            self.left_out_probabilities_ = (scores / confidence.temperature).softmax(dim=1).numpy()
        by = by if accuracy else ""
        return dataclasses.replace(knowledge, confidence=confidence, accuracy=accuracy, accuracy_by=by)
