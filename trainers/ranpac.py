"""RanPAC: random projections and pre-trained models for continual learning (arXiv:2307.02251), without its first phase.

A ridge regression from projected image features to one-hot labels, whose sums over images are added up set by set:

    h = ReLU(I R)          R ∈ ℝ^{E×M}: standard normal, drawn once, the same in every step        projection
    G = Σ h hᵀ             Q = Σ h yᵀ                                                               sums over images
    W = (G + λ 1)⁻¹ Q                                                                               ridge regression
    logits = h W / T                                                                                temperature

λ ∈ {10⁻⁸ … 10⁸} is chosen in each step by its own images: fitted to 80 %, it has the least squared error on the others.
I are CLIP's unit image features; the published code takes them before they are normalised. The text side is not used.
Equations and λ are as published; its first phase, which tunes the tower on the first set, is left out, and T is added:
h W estimates a one-hot label, which no softmax makes a probability. T changes no decision. It is that of the least

    Σ_images −log softmax_y(ŝ / T) + ½ ln²(T / r)        ŝ = y − (1 − H)⁻¹ (y − h W),  H = h (G + λ 1)⁻¹ hᵀ

with ŝ the scores of this step's images by weights that have not seen them (leave-one-out, all views of an image at
once), of classes with two images or more; r makes the spread of ŝ over the classes that of zero-shot scores.

Letters: B images, n training images, k views of each, N classes, E embedding size, M projected size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from yacs.config import CfgNode

from lamm.clip.model import ClipModel

from .heads import Head, HeadTrainer, Images, spread
from .traits import TRAITS

SEED = 1993
"""Of R and of the images that λ is chosen by: the same in every run."""
RIDGES = tuple(10.0**exponent for exponent in range(-8, 9))
FACTORS = tuple(np.exp(np.linspace(-5, 5, 201)).tolist())
"""Of r: the temperatures that T is chosen of."""


class RanPACLearner(Head):
    """The regression; its state has the sums over this step's images, and the weights over all classes seen so far.

    Args:
        clip: the frozen CLIP model.
        class_names: one per class.
        templates: of the prompts, which have no part in the scores.
        size: M.

    Attributes:
        projection: R, (E, M).
        gram: G of the images that `fit` was given, (M, M), float64.
        products: Qᵀ of the same, (N, M), float64.
        ridge: λ, (1,), float64.
        temperature: T, (1,), float64; 1 in files of earlier versions, which lack it.
        weight: Wᵀ, (N, M), float64.
    """

    projection: Tensor
    gram: Tensor
    products: Tensor
    ridge: Tensor
    temperature: Tensor
    weight: Tensor

    def __init__(
        self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str], size: int = 10_000
    ) -> None:
        super().__init__(clip, class_names, templates)
        projection = torch.randn(clip.embed_dim, size, generator=torch.Generator().manual_seed(SEED))
        self.register_buffer("projection", projection, persistent=False)
        shapes = {"gram": (size, size), "products": (len(class_names), size), "weight": (len(class_names), size)}
        for name, shape in {**shapes, "ridge": (1,)}.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("temperature", torch.ones(1, dtype=torch.float64))
        self.register_load_state_dict_pre_hook(lambda _, state, *__: self.make_room_for(state))

    def make_room_for(self, state: dict[str, Any]) -> None:
        """T of a file that has none."""
        if "ridge" in state:
            state.setdefault("temperature", torch.ones(1, dtype=torch.float64))

    def projected(self, image: Tensor) -> Tensor:
        """h of unit image features (…, E), in float64. Shape: (…, M)"""
        return F.relu(image.float() @ self.projection).double()

    def fit(self, features: Tensor, labels: Tensor, val: Images | None = None) -> None:
        """See `Head.fit`; λ is always chosen by training images."""
        h = self.projected(features)  # (n, k, M)
        y = F.one_hot(labels, len(self.class_names)).double()  # (n, N)
        order = torch.randperm(len(h), generator=torch.Generator().manual_seed(SEED)).to(h.device)
        fitted, held_out = order[: len(h) * 4 // 5], order[len(h) * 4 // 5 :]
        self.ridge.fill_(best_ridge(*rows(h[fitted], y[fitted]), *rows(h[held_out], y[held_out])))

        rows_h, rows_y = rows(h, y)
        self.gram.copy_(rows_h.T @ rows_h)
        self.products.copy_(rows_y.T @ rows_h)
        inverse = self.solve(rows_h).view_as(h)

        before = sum(len(learner.class_names) for learner in self.earlier)
        of_all = F.pad(y, (before, 0))[:, None]  # (n, 1, all classes)
        wrong = of_all - h @ torch.cat([learner.weight for learner in self.learners]).T  # (n, k, all classes)
        own = h @ inverse.transpose(1, 2)  # H: (n, k, k)
        unseen = of_all - torch.linalg.solve(torch.eye(own.shape[1]).to(own) - own, wrong)
        several = torch.bincount(labels)[labels] > 1
        zero_shot = self.zero_shot(features).double()
        temperature = best_temperature(unseen, of_all[:, 0].argmax(dim=1), several, zero_shot)
        for learner in self.learners:
            learner.temperature.fill_(temperature)

    def join(self) -> None:
        """W over all classes, from the sums of all steps, λ and T of this one; see `Prompts.join`."""
        self.solve(self.gram[:0])

    def solve(self, h: Tensor) -> Tensor:
        """W as in `join`, and (G + λ 1)⁻¹ h of some rows (m, M). Shape: (m, M)"""
        learners = self.learners
        total = torch.zeros_like(self.gram)
        for learner in learners:
            total += learner.gram
        total.diagonal().add_(self.ridge)
        products = torch.cat([*(learner.products for learner in learners), h])  # (all classes + m, M)
        sizes = [len(learner.class_names) for learner in learners]
        *weights, inverse = torch.linalg.solve(total, products.T).T.split([*sizes, len(h)])
        for learner, weight in zip(learners, weights, strict=True):
            learner.weight.copy_(weight)
            learner.temperature.copy_(self.temperature)
        return inverse

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """Logits: estimates of the one-hot label, over T. Shape: (B, N)"""
        return (self.projected(image) @ self.weight.T / self.temperature).float()

    def chosen(self) -> dict[str, float]:
        """λ and T."""
        return {"ridge": self.ridge.item(), "temperature": self.temperature.item()}

    def per_class_tensors(self) -> tuple[str, ...]:
        """See `Prompts.per_class_tensors`."""
        return ("products", "weight")

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """See `Prompts.exported`."""
        tensors = {"projection": self.projection, "head_weight": (self.weight / self.temperature).float()}
        return tensors, "relu(image_features @ projection) @ head_weight.T"


def rows(h: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Views as rows: (n, k, M) and (n, N) → (n·k, M) and (n·k, N)."""
    return h.flatten(0, 1), y.repeat_interleave(h.shape[1], dim=0)


def best_ridge(h: Tensor, y: Tensor, held_out: Tensor, expected: Tensor) -> float:
    """λ whose regression on h (n, M) → y (n, N) has the least squared error on held-out images; the first of equals.

    With h = U S Vᵀ its weights are V S (S² + λ)⁻¹ Uᵀ y, so that one decomposition serves all λ.
    """
    u, s, vt = torch.linalg.svd(h, full_matrices=False)
    projected, targets = held_out @ vt.T, u.T @ y  # (held out, r), (r, N)

    def error(ridge: float) -> float:
        return (projected @ ((s / (s.square() + ridge))[:, None] * targets) - expected).square().sum().item()

    return min(RIDGES, key=error)


def best_temperature(scores: Tensor, labels: Tensor, several: Tensor, zero_shot: Tensor) -> float:
    """T as above.

    Args:
        scores: ŝ, (n, k, N); each view has a k-th of its image's loss.
        labels: (n,).
        several: whether an image's class has others, (n,).
        zero_shot: of the same images, (n, k, N).
    """
    everywhere = torch.ones_like(scores, dtype=torch.bool)
    ratio = (spread(scores, everywhere).clamp(min=1e-12) / spread(zero_shot, everywhere).clamp(min=1e-12)).item()
    some, targets = scores[several], labels[several, None].expand(-1, scores.shape[1])

    def loss(factor: float) -> float:
        images = F.cross_entropy(some.transpose(1, 2) / (ratio * factor), targets, reduction="sum") / scores.shape[1]
        return images.item() + 0.5 * np.log(factor) ** 2

    return ratio * min(FACTORS, key=loss)


class RanPAC(HeadTrainer):
    """Trains a `RanPACLearner`; config node `TRAINER.RANPAC`."""

    learner_class = RanPACLearner
    traits = TRAITS["RanPAC"]

    @classmethod
    def make_learner(
        cls, cfg: CfgNode, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str] = ()
    ) -> Any:
        """The regression with `TRAINER.RANPAC.PROJECTION` projected features."""
        return RanPACLearner(clip, class_names, templates, cfg.TRAINER.RANPAC.PROJECTION)
