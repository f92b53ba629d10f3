"""Labels learned after the others: new classes, and classes with new photos, beside classes that stay as they are.

LAMM's objective on all photos, with the labels of the other classes as constants:

    mean over all photos of L_CE + λ3 L_KD  +  λ1 Σ_new L_WC  +  λ2 / N Σ_new L_COS

The photos of the other classes are not at hand any more. In their place stand draws from what their statistics say of
them: normal around the class's mean, with the covariance that all classes share, and of length 1. Each step sees all
new photos, one view each, and as many draws of each class as it had photos (of more than `AT_ONCE`, a random part).

Training on all classes at once moves along the gradient by T steps at rate η. Here S steps are taken, at rate η T / S.

Letters: n photos, k views, N classes in all, N′ of them new, E embedding size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from yacs.config import CfgNode

from lamm.engine import build_lr_scheduler, build_optimizer
from lamm.gda import ClassStatistics
from lamm.scoring import scaled_scores

STEPS = 30
AT_ONCE = 2048
LONGEST = 0.5
"""η T / S times λ1, at most: L_WC's own step must not overshoot."""


class Draws:
    """Image features as the statistics of classes describe them.

    Args:
        statistics: of the classes.
        views: of each photo in them.
    """

    def __init__(self, statistics: ClassStatistics, views: int) -> None:
        free = (statistics.count.sum() - len(statistics.count)).clamp(min=1)
        values, vectors = torch.linalg.eigh(statistics.scatter / free)
        self._root = (vectors * values.clamp(min=0).sqrt()).float()  # (E, E)
        self._means = statistics.means.float()
        self.photos = (statistics.count / views).round().long()
        """Of each class."""

    def of(self, labels: Tensor) -> Tensor:
        """One draw for each label (n,). Shape: (n, E)"""
        noise = torch.randn(len(labels), self._means.shape[1]) @ self._root.T
        return F.normalize(self._means[labels] + noise, dim=-1)


class Constants:
    """The classes that are not learned now, as `PromptLearner.loss_parts` asks for earlier learners.

    Args:
        original: unit features of their hand-written prompts, (1, N − N′, E).
    """

    def __init__(self, original: Tensor) -> None:
        self._original = original

    def teacher_features(self, image: Tensor | None = None) -> Tensor:
        """ψ(y). Shape: (1, N − N′, E)"""
        return self._original


def learn_labels(
    learner: Any,
    others: Tensor,
    others_original: Tensor,
    draws: Draws,
    features: Tensor,
    labels: Tensor,
    cfg: CfgNode,
    progress: Any = None,
) -> None:
    """Learn the labels of a learner, in place; its context stays.

    Args:
        learner: of the new classes.
        others: unit text features of the others, (N − N′, E).
        others_original: unit features of their hand-written prompts, (N − N′, E).
        draws: of all classes, the new ones first; those of new classes stand for photos of theirs that are not at hand.
        features: of the new photos' views, (n, k, E).
        labels: of the new photos, (n,), among the new classes.
        cfg: OPTIM and DATALOADER.TRAIN_X.BATCH_SIZE as in training.
        progress: is told the share that is done.
    """
    for name, parameter in learner.named_parameters():
        parameter.requires_grad_(name == "label_embeddings")
    learner.train()
    new, classes = len(learner.class_names), len(learner.class_names) + len(others)
    drawn = torch.arange(classes).repeat_interleave(draws.photos)  # labels of all draws, new classes first
    photos = len(labels) + len(drawn)
    shots = photos / classes
    steps, rate = _steps(cfg, photos, learner, shots)
    options = cfg.OPTIM.clone()
    options.defrost()
    options.LR, options.MAX_EPOCH = rate, steps
    optimizer = build_optimizer(learner, options, [{"params": [learner.label_embeddings]}])
    scheduler = build_lr_scheduler(optimizer, options)
    constants, scale = [Constants(others_original[None])] if len(others) else [], learner.clip.logit_scale
    share = min(1.0, AT_ONCE / photos)
    for step in range(steps):
        chosen = _part(len(labels), share)
        view = torch.randint(features.shape[1], (len(chosen),))
        targets = drawn[_part(len(drawn), share)]
        image = torch.cat([features[chosen, view], draws.of(targets)])
        targets = torch.cat([labels[chosen], targets])
        text = learner.text_features(image)  # (1, N′, E)
        logits = torch.cat([learner.scores(image, text), scaled_scores(image, others[None], scale)], dim=1)
        parts = learner.loss_parts(text, image, logits, targets, shots, constants)
        if "loss_cos" in parts:
            parts["loss_cos"] = parts["loss_cos"] * (new / classes)
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step()
        scheduler.step()
        if progress is not None:
            progress((step + 1) / steps, "learning the new labels")
    learner.eval()


def _part(count: int, share: float) -> Tensor:
    """A random part of so many places; all of them, in order, if the share is 1."""
    return torch.arange(count) if share == 1 else torch.randperm(count)[: max(1, round(share * count))]


def _steps(cfg: CfgNode, photos: int, learner: Any, shots: float) -> tuple[int, float]:
    """How many steps, and at which rate: as long a way as in training on all photos."""
    batch = min(cfg.DATALOADER.TRAIN_X.BATCH_SIZE, photos)
    length = cfg.OPTIM.MAX_EPOCH * (photos // batch) * cfg.OPTIM.LR
    weight = learner.alignment.lambda_wc if learner.alignment.lambda_wc >= 0 else 1 / shots
    steps = max(STEPS, int(length * weight / LONGEST))
    return steps, length / steps
