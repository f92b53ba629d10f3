"""LAMM_GDA: aligned labels (arXiv:2312.08212) and a Gaussian head (arXiv:2402.04087), two experts on the same features.

The labels know what CLIP knows of the class names, the head what the training images look like; they make different
mistakes. Both give a log-posterior, up to a term without the class, and these are added:

    s_c(x) = cos(x, ψ(z_c)) / τ + β (w_c·x + b_c)         z, ψ(z): LAMM's, trained as ever      w, b: `lamm.gda`

τ is the temperature that the labels are trained at. β is the head's: with g₋ᵢ the head without image i,

    β, ρ = argmin mean_i −log softmax_{y_i} β g₋ᵢ(x_i)    ρ: the shrinkage of the head's covariance

over all cached views of the training images. So no image judges a head that has seen it, and neither validation nor
test images are looked at. An image that is the only one of its class can't be left out; if all are, ρ = 10, and β is
such that the head's scores spread over the wrong classes 0.3 times as far as the zero-shot scores.

The head follows from sums over images (`ClassStatistics`): classes that come later add theirs, and it is the head of
all images at once.

Letters: n training images, k views of each, B images, G prefixes (1), N classes, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.gda import ClassStatistics, LeaveOneOut, head
from lamm.log import logger
from lamm.scoring import scaled_scores

from .base import PromptTrainer
from .lamm import LAMM, LAMMLearner
from .prompt_learner import PromptLearner
from .top_lamm import TopLAMM, TopLAMMLearner

SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SCALES = tuple(10.0 ** (step / 8) for step in range(-24, 9))  # 1e-3 … 10
SHRINKAGE_OF_ONE = 10.0
SPREAD_OF_ONE = 0.3
NEVER = -1e9  # the score of a class that the head has no image of; a checkpoint holds no infinities


class GaussianHead(nn.Module):
    """The head β (W x + b), with the sums that it follows from.

    Args:
        classes: N.
        size: E.

    Attributes:
        rows: β W, (N, E).
        offsets: β b, (N, 1).
        count, sum, outer: of `statistics`, float64.
        shrinkage: ρ, (1,).
        scale: β, (1,); 0: there is no head, or none that fits the classes.
    """

    rows: Tensor
    offsets: Tensor
    count: Tensor
    sum: Tensor
    outer: Tensor
    shrinkage: Tensor
    scale: Tensor
    PER_CLASS = ("rows", "offsets", "count", "sum")

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        for name, shape in {"rows": (classes, size), "offsets": (classes, 1), "shrinkage": (1,), "scale": (1,)}.items():
            self.register_buffer(name, torch.zeros(shape))
        for name, shape in {"count": (classes, 1), "sum": (classes, size), "outer": (size, size)}.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @property
    def statistics(self) -> ClassStatistics:
        """Of the images that the head was computed from."""
        return ClassStatistics(self.count[:, 0], self.sum, self.outer)

    def forward(self, image: Tensor) -> Tensor:
        """Scores of unit features (B, E). Shape: (B, N)"""
        return image.float() @ self.rows.T + self.offsets[:, 0]

    def fit(self, features: Tensor, labels: Tensor, others: Tensor) -> None:
        """The head of training images.

        Args:
            features: unit features, (n, k, E).
            labels: (n,).
            others: zero-shot scores of the same views, for the case of one image per class, (n, k, N).
        """
        statistics = ClassStatistics.of(features, labels, len(self.rows))
        leave_one_out = LeaveOneOut(statistics, features, labels)
        paired = statistics.count[labels] > features.shape[1]  # images whose class has another one
        if paired.any():
            shrinkage, scale = _of_least_loss(leave_one_out, paired, labels)
        else:
            shrinkage = SHRINKAGE_OF_ONE
            scores = leave_one_out.scores(shrinkage)
            wrong = scores.isfinite()  # (n, k, N)
            scale = SPREAD_OF_ONE * _spread(others, wrong) / max(_spread(scores, wrong), 1e-9)
        self.compute(statistics, shrinkage, scale)

    def compute(self, statistics: ClassStatistics, shrinkage: float, scale: float) -> None:
        """The head of these statistics, which it keeps."""
        weight, bias = head(statistics, shrinkage)
        self.rows.copy_(scale * weight)
        self.offsets.copy_((scale * bias).clamp(min=NEVER)[:, None])
        self.count.copy_(statistics.count[:, None])
        self.sum.copy_(statistics.sum)
        self.outer.copy_(statistics.outer)
        self.shrinkage.fill_(shrinkage)
        self.scale.fill_(scale)


def _of_least_loss(leave_one_out: LeaveOneOut, paired: Tensor, labels: Tensor) -> tuple[float, float]:
    """ρ and β of the least log-loss of left-out images.

    Args:
        leave_one_out: of the training images.
        paired: whether an image's class has another one, (n,).
        labels: (n,).
    """
    losses = {}
    for shrinkage in SHRINKAGES:
        scores = leave_one_out.scores(shrinkage)[paired]  # (n', k, N)
        targets = labels[paired].repeat_interleave(scores.shape[1])
        for scale in SCALES:
            losses[shrinkage, scale] = F.cross_entropy(scale * scores.flatten(0, 1), targets).item()
    return min(losses, key=losses.__getitem__)


def _spread(scores: Tensor, wrong: Tensor) -> float:
    """Standard deviation over an image's wrong classes, the root mean square over images; scores are (n, k, N)."""
    count = wrong.sum(dim=-1, keepdim=True).clamp(min=1)
    away = scores - scores.where(wrong, 0.0).sum(dim=-1, keepdim=True) / count
    return float((away.where(wrong, 0.0).square().sum(dim=-1) / count[..., 0]).mean().sqrt())


class HeadMixin(PromptLearner):
    """Goes in front of a prompt learner: a Gaussian head on CLIP's own image features is added to its scores.

    In training the scores are the learner's alone.

    Attributes:
        head: the head; silent until it is fitted.
    """

    def __init__(self, *positional: Any, **arguments: Any) -> None:
        super().__init__(*positional, **arguments)
        self.head = GaussianHead(len(self.class_names), self.clip.embed_dim)

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """s. Shape: (B, N)"""
        own = self.scores_without_head(image, text)
        return own if self.training else own + self.head(self.clip_features(image))

    def scores_without_head(self, image: Tensor, text: Tensor) -> Tensor:
        """The base learner's scores. Shape: (B, N)"""
        return super().scores(image, text)

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Fit the head.

        Args:
            features: CLIP's own unit features of the training images' views, (n, k, E).
            labels: (n,).
        """
        zero_shot = scaled_scores(features.flatten(0, 1), self.hand_written_features(), self.clip.logit_scale)
        self.head.fit(features, labels, zero_shot.view(*features.shape[:2], -1))

    def per_class_tensors(self) -> tuple[str, ...]:
        """The base learner's, and the head's."""
        return (*super().per_class_tensors(), *(f"head.{name}" for name in GaussianHead.PER_CLASS))

    def for_other_classes(self, state: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor] | None:
        """The head's rows by class name; if it lacks a class, the prompts score alone."""
        if super().per_class_tensors():
            return None
        places = {name: place for place, name in enumerate(names)}
        if not all(name in places for name in self.class_names):
            logger.info("Classes that the head has no images of: the labels score alone")
            silent = {f"head.{name}": value for name, value in self.head.state_dict().items()}
            return {**state, **silent}
        rows = torch.tensor([places[name] for name in self.class_names])
        return {**state, **{name: state[name][rows] for name in self.per_class_tensors()}}


class HeadTrainer(PromptTrainer):
    """Goes in front of a trainer whose learner has a head: fits it when the labels are trained, and tests both."""

    def before_train(self) -> None:
        """What the trainer does, and the features that the head is fitted to."""
        loader, cached = self.train_loader_x, self.cfg.INPUT.CACHE_VIEWS > 0
        super().before_train()
        cache = self.feature_cache
        self.of_head = (
            cache.training_loader(loader)
            if cached
            else cache.training_images(loader, self.test_loader.dataset.transform)
        )

    def after_epoch(self) -> None:
        """Fit the head where the model is tested or is complete, then what the trainer does."""
        if self.epoch + 1 == self.max_epoch or self.cfg.TEST.FINAL_MODEL == "best_val":
            with torch.no_grad():
                self.learner.fit(self.of_head.features, self.of_head.labels)
        super().after_epoch()

    def test(self, split: str | None = None) -> float:
        """Test; the record has the labels' accuracy without the head too."""
        result = super().test(split)
        if split is None:
            head = self.learner.head
            alone = self.accuracy_of(self.text_features(), self.learner.scores_without_head)
            chosen = {"head_scale": head.scale.item(), "head_shrinkage": head.shrinkage.item()}
            self.further_metrics = {**self.further_metrics, "accuracy_without_head": alone, **chosen}
            logger.info("Without the head: %.1f%%", alone)
        return result


class LAMMGDALearner(HeadMixin, LAMMLearner):
    """Fixed context words, aligned labels, a head."""


class LAMM_GDA(HeadTrainer, LAMM):
    """Trains a `LAMMGDALearner`; config node `TRAINER.LAMM`."""

    learner_class = LAMMGDALearner


class TopLAMMGDALearner(HeadMixin, TopLAMMLearner):
    """Tuned blocks, aligned labels, a head on the frozen features."""


class TopLAMM_GDA(HeadTrainer, TopLAMM):
    """Trains a `TopLAMMGDALearner`; config nodes `TRAINER.LAMM` and `TRAINER.TOPLAMM`."""

    learner_class = TopLAMMGDALearner
