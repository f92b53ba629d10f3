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
from torch import Tensor

from lamm.clip.model import ClipModel
from lamm.gda import ClassStatistics, LeaveOneOut, head
from lamm.scoring import scaled_scores

from .heads import Head, HeadTrainer, Images, weight_of_least_loss

SHRINKAGES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
PUBLISHED_ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
NEVER = -1e9  # bias of a class without images; a checkpoint holds no infinities


class GDALearner(Head):
    """The head; its state has the sums that classes can be added to.

    Attributes:
        weight: α W, (N, E).
        bias: α b, (N, 1).
        count, sum, outer: of the images that `fit` was given, see `ClassStatistics`, in float64.
        shrinkage: ρ, (1,), float64; 0: that of the published precision.
        alpha: α, (1,), float64.
    """

    weight: Tensor
    bias: Tensor
    count: Tensor
    sum: Tensor
    outer: Tensor
    shrinkage: Tensor
    alpha: Tensor

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__(clip, class_names, templates)
        classes, size = len(class_names), clip.embed_dim
        for name, shape in {"weight": (classes, size), "bias": (classes, 1)}.items():
            self.register_buffer(name, torch.zeros(shape))
        sums = {"count": (classes, 1), "sum": (classes, size), "outer": (size, size)}
        for name, shape in {**sums, "shrinkage": (1,), "alpha": (1,)}.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @property
    def statistics(self) -> ClassStatistics:
        """Of all images that the head is computed from, those of earlier sets of classes first."""
        count, total = (torch.cat([getattr(one, name) for one in self.learners]) for name in ("count", "sum"))
        return ClassStatistics(count[:, 0], total, torch.stack([one.outer for one in self.learners]).sum(dim=0))

    def fit(self, features: Tensor, labels: Tensor, val: Images | None = None) -> None:
        """See `Head.fit`."""
        own = ClassStatistics.of(features, labels, len(self.class_names))
        self.count.copy_(own.count[:, None])
        self.sum.copy_(own.sum)
        self.outer.copy_(own.outer)
        first = sum(len(one.class_names) for one in self.earlier)  # labels go on from those of earlier sets
        if val is None:
            shrinkage, alpha = self.of_least_loss(self.statistics, features, labels + first)
        else:
            alpha = self.of_highest_accuracy(self.statistics, Images(val.features, val.labels + first))
            shrinkage = 0.0
        self.shrinkage.fill_(shrinkage)
        self.alpha.fill_(alpha)
        self.join()

    def join(self) -> None:
        """The head of all statistics, by ρ and α of this set; see `Prompts.join`."""
        weight, bias = head(self.statistics, self.shrinkage.item() or None)
        sizes = [len(one.class_names) for one in self.learners]
        for one, own_weight, own_bias in zip(self.learners, weight.split(sizes), bias.split(sizes), strict=True):
            one.weight.copy_(self.alpha * own_weight)
            one.bias.copy_((self.alpha * own_bias[:, None]).clamp(min=NEVER))

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """Logits. Shape: (B, N)"""
        return scaled_scores(image, text, self.clip.logit_scale) + image.float() @ self.weight.T + self.bias[:, 0]

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """See `Prompts.exported`."""
        tensors, formula = super().exported()
        tensors |= {"head_weight": self.weight, "head_bias": self.bias[:, 0]}
        return tensors, f"{formula} + image_features @ head_weight.T + head_bias"

    def chosen(self) -> dict[str, float]:
        """α, and ρ unless it is the published one."""
        shrinkage = self.shrinkage.item()
        return {"alpha": self.alpha.item(), **({"shrinkage": shrinkage} if shrinkage else {})}

    def per_class_tensors(self) -> tuple[str, ...]:
        """See `Prompts.per_class_tensors`."""
        return ("weight", "bias", "count", "sum")

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

    learner_class = GDALearner  # type: ignore[assignment]
    config_node = "GDA"
    config_nodes = ("GDA",)
    default_config = "vit_b16"
    tiny_config = "tiny"
    learns_in_steps = True
