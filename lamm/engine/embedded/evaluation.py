"""Evaluators: from logits and labels, batch by batch, to the numbers that a run prints."""

import os
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from yacs.config import CfgNode

from lamm.engine.embedded.checkpoint import write_tensors
from lamm.engine.embedded.registry import Registry
from lamm.escaping import printable

EVALUATOR_REGISTRY = Registry("EVALUATOR")


def build_evaluator(cfg: CfgNode, **kwargs: Any) -> "EvaluatorBase":
    """The evaluator that `cfg.TEST.EVALUATOR` names."""
    evaluator: EvaluatorBase = EVALUATOR_REGISTRY.choose(cfg.TEST.EVALUATOR, "evaluator", cfg.VERBOSE)(cfg, **kwargs)
    return evaluator


class EvaluatorBase:
    """What a trainer asks of an evaluator; a member of the registry takes `(cfg, lab2cname=None, **kwargs)`."""

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError

    def process(self, mo: Tensor, gt: Tensor) -> None:
        """Take in one batch: the model's output and the labels."""
        raise NotImplementedError

    def evaluate(self) -> "OrderedDict[str, float]":
        """Print and return the results; the first value is the one that selects the best model."""
        raise NotImplementedError


class Classification(EvaluatorBase):
    """Accuracy, error rate and macro F1 in percent; on request accuracy per class and the confusion matrix.

    Args:
        cfg: `TEST.PER_CLASS_RESULT` and `TEST.COMPUTE_CMAT` choose the additions.
        lab2cname: Class name of each label; needed per class.
    """

    def __init__(self, cfg: CfgNode, lab2cname: Mapping[int, str] | None = None, **kwargs: Any) -> None:
        super().__init__(cfg)
        if cfg.TEST.PER_CLASS_RESULT and lab2cname is None:
            raise AssertionError("TEST.PER_CLASS_RESULT needs the class name of each label (lab2cname)")
        self._lab2cname = lab2cname
        self.reset()

    def reset(self) -> None:
        self._y_true: list[int] = []
        self._y_pred: list[int] = []

    def process(self, mo: Tensor, gt: Tensor) -> None:
        """Take in logits [B, C] and labels [B]."""
        self._y_pred.extend(mo.argmax(dim=1).cpu().tolist())
        self._y_true.extend(gt.cpu().tolist())

    def evaluate(self) -> "OrderedDict[str, float]":
        total, totals, predicted, hits = len(self._y_true), *self._counts()
        correct = hits.total()
        accuracy = 100.0 * correct / total
        error = 100.0 - accuracy
        # The mean over the classes that occur among the labels; the others can be neither right nor wrong.
        f1 = [2 * hits[label] / (number + predicted[label]) for label, number in totals.items()]
        macro_f1 = 100.0 * sum(f1) / len(f1)
        print(
            "=> result\n"
            f"* total: {total:,}\n"
            f"* correct: {correct:,}\n"
            f"* accuracy: {accuracy:.1f}%\n"
            f"* error: {error:.1f}%\n"
            f"* macro_f1: {macro_f1:.1f}%"
        )
        results = OrderedDict(accuracy=accuracy, error_rate=error, macro_f1=macro_f1)
        if self.cfg.TEST.PER_CLASS_RESULT:
            results["perclass_accuracy"] = self._print_per_class()
        if self.cfg.TEST.COMPUTE_CMAT:
            # Rows are the true classes, each summing to 1; a NumPy array of float64.
            from sklearn.metrics import confusion_matrix  # a second or more

            matrix = confusion_matrix(self._y_true, self._y_pred, normalize="true")
            path = os.path.join(self.cfg.OUTPUT_DIR, "cmat.pt")
            write_tensors(path, matrix)
            print(f"Confusion matrix is saved to {path}")
        return results

    def _counts(self) -> tuple[Counter[int], Counter[int], Counter[int]]:
        """For each label the number of images that have it, that are predicted to have it, and both."""
        pairs = zip(self._y_true, self._y_pred, strict=True)
        return Counter(self._y_true), Counter(self._y_pred), Counter(true for true, other in pairs if true == other)

    def _print_per_class(self) -> Any:
        """Print one line per class, sorted by label; the mean over the classes that have test images."""
        assert self._lab2cname is not None  # checked by the constructor
        totals, _, hits = self._counts()
        print("=> per-class result")
        accuracies = []
        for label in sorted({*self._lab2cname, *totals}):
            total, correct = totals[label], hits[label]
            accuracies += [100.0 * correct / total] if total else []
            print(
                f"* class: {label} ({printable(self._lab2cname[label])})\t"
                f"total: {total:,}\tcorrect: {correct:,}\tacc: {f'{accuracies[-1]:.1f}%' if total else '–'}"
            )
        mean = np.mean(accuracies)
        print(f"* average: {mean:.1f}%")
        return mean


EVALUATOR_REGISTRY.register(Classification)


def compute_accuracy(output: Tensor | Sequence[Tensor], target: Tensor, topk: Sequence[int] = (1,)) -> list[Tensor]:
    """Share, in percent, of images whose label is among the k highest logits.

    Args:
        output: Logits [B, C]; of a tuple or list the first item counts.
        target: Labels [B].
        topk: The values of k.

    Returns:
        One tensor of shape [1] for each k.
    """
    logits = output if isinstance(output, Tensor) else output[0]
    highest = logits.topk(max(topk), dim=1).indices
    hits = highest.eq(target.view(-1, 1))
    return [hits[:, :k].sum().float().mul(100.0 / target.shape[0]).reshape(1) for k in topk]
