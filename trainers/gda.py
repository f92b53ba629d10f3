"""GDA: a hard-to-beat baseline for training-free CLIP-based adaptation (arXiv:2402.04087).

Gaussian discriminant analysis on the image features I, added to the zero-shot scores:

    logits = cos(I, ψ(y)) / τ + α (I Wᵀ + b)            W, b: `lamm.gda`, Gaussians with one covariance

The shrinkage ρ of the covariance and α are those of the least log-loss on the training images, each scored by the head
that the others give (`lamm_trainers.heads`). One image per class says nothing about them: ρ is the largest then, since
the scatter is of views alone, and the head weighs as much as the zero-shot scores.

Published (`CHOICE val`): ten views of each image, ρ of the published precision, and α ∈ {1e-4 … 1e2} of the highest
accuracy on the validation images, the smaller of equals.

Letters: n training images, k views of each, N classes, E embedding size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamm.clip.model import ClipModel
from lamm.gda import NEVER, SHRINKAGES, ClassStatistics, LeaveOneOut, head
from lamm.scoring import Prompts, scaled_scores

from .heads import Head, HeadTrainer, Images, weight_of_least_loss
from .traits import TRAITS

PUBLISHED_ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)


class GaussianHead(nn.Module):
    """The part α W x + α b of a score, with the sums over images that it follows from.

    Args:
        classes: N.
        size: E.

    Attributes:
        rows: α W, (N, E).
        offsets: α b, (N, 1).
        count, sum, outer: of `statistics`, in float64.
        shrinkage: ρ, (1,), float64; 0: that of the published precision.
        alpha: α, (1,), float64.
    """

    rows: Tensor
    offsets: Tensor
    count: Tensor
    sum: Tensor
    outer: Tensor
    shrinkage: Tensor
    alpha: Tensor
    PER_CLASS = ("rows", "offsets", "count", "sum")

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        parts: dict[str, tuple[int, ...]] = {"rows": (classes, size), "offsets": (classes, 1)}
        for name, shape in parts.items():
            self.register_buffer(name, torch.zeros(shape))
        sums = {"count": (classes, 1), "sum": (classes, size), "outer": (size, size)}
        for name, shape in {**sums, "shrinkage": (1,), "alpha": (1,)}.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def forward(self, image: Tensor) -> Tensor:
        """Scores of unit features (B, E). Shape: (B, N)"""
        return image.float() @ self.rows.T + self.offsets[:, 0]

    @property
    def statistics(self) -> ClassStatistics:
        """Of the images of these classes."""
        return ClassStatistics(self.count[:, 0], self.sum, self.outer)

    def keep(self, statistics: ClassStatistics, shrinkage: float, alpha: float) -> None:
        """Keep what the head follows from; `compute_heads` computes it."""
        self.count.copy_(statistics.count[:, None])
        self.sum.copy_(statistics.sum)
        self.outer.copy_(statistics.outer)
        self.shrinkage.fill_(shrinkage)
        self.alpha.fill_(alpha)


def statistics_of(heads: Sequence[GaussianHead]) -> ClassStatistics:
    """The statistics of the classes of several heads, one head's after the other's."""
    parts = [one.statistics for one in heads]
    count, total = torch.cat([one.count for one in parts]), torch.cat([one.sum for one in parts])
    return ClassStatistics(count, total, torch.stack([one.outer for one in parts]).sum(dim=0))


def compute_heads(heads: Sequence[GaussianHead]) -> None:
    """The head of the images of all, by ρ and α of the last; each gets the part of its own classes."""
    weight, bias = head(statistics_of(heads), heads[-1].shrinkage.item() or None)
    sizes = [len(one.rows) for one in heads]
    for one, own_weight, own_bias in zip(heads, weight.split(sizes), bias.split(sizes), strict=True):
        one.rows.copy_(heads[-1].alpha * own_weight)
        one.offsets.copy_((heads[-1].alpha * own_bias[:, None]).clamp(min=NEVER))


class HasGaussianHead(Prompts):
    """Goes in front of prompts: a Gaussian head belongs to them. Who has it fits it, and says what it adds to.

    Attributes:
        head: the head.
    """

    head: GaussianHead

    def join(self) -> None:
        """See `Prompts.join`."""
        compute_heads([one.head for one in self.learners])

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """See `Prompts.exported`."""
        tensors, formula = super().exported()
        tensors |= {"head_weight": self.head.rows, "head_bias": self.head.offsets[:, 0]}
        return tensors, f"{formula} + image_features @ head_weight.T + head_bias"

    def per_class_tensors(self) -> tuple[str, ...]:
        """Those of the prompts, and the head's."""
        return (*super().per_class_tensors(), *(f"head.{name}" for name in GaussianHead.PER_CLASS))


class GDALearner(HasGaussianHead, Head):
    """Hand-written prompts and the head."""

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__(clip, class_names, templates)
        self.head = GaussianHead(len(class_names), clip.embed_dim)

    def fit(self, features: Tensor, labels: Tensor, val: Images | None = None) -> None:
        """See `Head.fit`."""
        own = ClassStatistics.of(features, labels, len(self.class_names))
        self.head.keep(own, 0.0, 0.0)
        statistics = statistics_of([one.head for one in self.learners])
        first = len(statistics.count) - len(self.class_names)  # labels go on from those of earlier sets
        if val is None:
            shrinkage, alpha = self.of_least_loss(statistics, features, labels + first)
        else:
            shrinkage, alpha = 0.0, self.of_highest_accuracy(statistics, Images(val.features, val.labels + first))
        self.head.keep(own, shrinkage, alpha)
        self.join()

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """Logits. Shape: (B, N)"""
        return scaled_scores(image, text, self.clip.logit_scale) + self.head(image)

    def chosen(self) -> dict[str, float]:
        """α, and ρ unless it is the published one."""
        shrinkage = self.head.shrinkage.item()
        return {"alpha": self.head.alpha.item(), **({"shrinkage": shrinkage} if shrinkage else {})}

    # The two ways of choosing.

    def of_least_loss(self, statistics: ClassStatistics, features: Tensor, labels: Tensor) -> tuple[float, float]:
        """ρ and α of the least log-loss, each image scored by the head of the others."""
        others, zero_shot = LeaveOneOut(statistics, features, labels), self.zero_shot(features)
        found = {rho: weight_of_least_loss(zero_shot, others.scores(rho), labels) for rho in SHRINKAGES}
        shrinkage = min(found, key=lambda rho: found[rho][1])  # the first of equals
        return shrinkage, found[shrinkage][0]

    def of_highest_accuracy(self, statistics: ClassStatistics, val: Images) -> float:
        """α as published."""
        weight, bias = head(statistics, None)
        scores = (val.features.double() @ weight.T + bias).float()
        zero_shot = self.zero_shot(val.features)

        def correct(alpha: float) -> int:
            return int(((zero_shot + alpha * scores).argmax(dim=1) == val.labels).sum())

        return max(PUBLISHED_ALPHAS, key=correct)  # the first of equals


class GDA(HeadTrainer):
    """Trains a `GDALearner`; config node `TRAINER.GDA`."""

    learner_class = GDALearner
    traits = TRAITS["GDA"]
