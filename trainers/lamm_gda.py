"""LAMM_GDA: aligned labels (arXiv:2312.08212) and a Gaussian head (arXiv:2402.04087), two experts on the same features.

The labels know what CLIP knows of the class names, the head what the training images look like; they make different
mistakes. Both give a log-posterior, up to a term without the class, and these are added:

    s_c(x) = α cos(x, ψ(z_c)) / τ + β (w_c·x + b_c)       z, ψ(z): as LAMM trains them      w, b: `lamm.gda`

Neither may be surer of itself than it is right, and images that it was trained on can't tell. So α is asked of the
zero-shot scores, which have seen no image, and β of the head g₋ᵢ that all images but i give:

    α    = argmin mean_i −log softmax_{y_i} α cos(x_i, ψ(y)) / τ        α ≤ 1
    β, ρ = argmin mean_i −log softmax_{y_i} β g₋ᵢ(x_i)                  ρ: the shrinkage of the head's covariance

over all cached views of the training images; neither validation nor test images are looked at. An image that is the
only one of its class can't be left out. If every class has one image, ρ = 30, and β is such that the head's scores
spread over the wrong classes 0.3 times as far as the zero-shot scores α cos / τ.

The head follows from sums over images (`ClassStatistics`): classes that come later add theirs, and it is the head of
all images at once.

Letters: n training images, k views of each, B images, G prefixes (1), N classes, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from lamm.errors import ConfigError
from lamm.gda import SHRINKAGES, ClassStatistics, LeaveOneOut, of_least_loss, scale_of_least_loss
from lamm.log import logger
from lamm.scoring import scaled_scores

from .base import PromptTrainer
from .gda import GaussianHead, HasGaussianHead, statistics_of
from .heads import spread
from .lamm import LAMM, LAMMLearner
from .prompt_learner import PromptLearner
from .top_lamm import TopLAMM, TopLAMMLearner
from .traits import TRAITS

SHRINKAGE_OF_ONE = SHRINKAGES[0]
SPREAD_OF_ONE = 0.3


class GaussianHeadMixin(HasGaussianHead, PromptLearner):
    """Goes in front of a prompt learner: a Gaussian head on CLIP's own image features is added to its scores.

    In training the scores are the learner's alone. The head is silent until it is fitted.

    Attributes:
        label_scale: α, (1,); 1 while the head is silent.
    """

    label_scale: Tensor
    is_calibrated = True

    def __init__(self, *positional: Any, **arguments: Any) -> None:
        super().__init__(*positional, **arguments)
        self.head = GaussianHead(len(self.class_names), self.clip.embed_dim)
        self.register_buffer("label_scale", torch.ones(1))

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """s. Shape: (B, N)"""
        own = self.scores_without_head(image, text)
        return own if self.training else self.label_scale * own + self.head(self.clip_features(image))

    def scores_without_head(self, image: Tensor, text: Tensor) -> Tensor:
        """The base learner's scores. Shape: (B, N)"""
        return super().scores(image, text)

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Fit the head, and how much it and the labels count.

        Args:
            features: CLIP's own unit features of the training images' views, (n, k, E).
            labels: (n,).
        """
        own = ClassStatistics.of(features, labels, len(self.class_names))
        self.head.keep(own, 0.0, 0.0)
        statistics = statistics_of([one.head for one in self.learners])
        labels = labels + len(statistics.count) - len(self.class_names)  # they go on from those of earlier sets
        others = LeaveOneOut(statistics, features, labels)
        text = torch.cat([one.hand_written_features() for one in self.learners], dim=1)  # (1, N, E)
        zero_shot = scaled_scores(features.flatten(0, 1), text, self.clip.logit_scale)  # (n·k, N)
        label_scale, _ = scale_of_least_loss(zero_shot, labels.repeat_interleave(features.shape[1]), largest=1.0)
        self.label_scale.fill_(label_scale)
        paired = statistics.count[labels] > features.shape[1]
        if paired.any():
            self.head.keep(own, *of_least_loss(others, paired, labels))
        else:
            scores = others.scores(SHRINKAGE_OF_ONE)
            wrong = scores.isfinite()
            ratio = float(spread(zero_shot.view_as(scores), wrong) / spread(scores, wrong).clamp(min=1e-9))
            self.head.keep(own, SHRINKAGE_OF_ONE, SPREAD_OF_ONE * label_scale * ratio)
        self.join()

    def join(self) -> None:
        """See `Prompts.join`; the last learner's α is that of all."""
        super().join()
        for one in self.earlier:
            one.label_scale.copy_(self.label_scale)

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """See `Prompts.exported`."""
        tensors, formula = super().exported()
        return {**tensors, "label_scale": self.label_scale[0]}, f"label_scale * {formula}"

    def for_other_classes(self, state: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor] | None:
        """The head's rows by class name; if it lacks a class, the prompts score alone."""
        rows_of = [f"head.{name}" for name in GaussianHead.PER_CLASS]
        if set(self.per_class_tensors()) - set(rows_of):
            return None
        places = {name: place for place, name in enumerate(names)}
        if not all(name in places for name in self.class_names):
            logger.info("Classes that the head has no images of: the labels score alone")
            silent = {f"head.{name}": value for name, value in self.head.state_dict().items()}
            return {**state, **silent, "label_scale": self.label_scale}
        rows = torch.tensor([places[name] for name in self.class_names])
        return {**state, **{name: state[name][rows] for name in rows_of}}


class WithGaussianHead(PromptTrainer):
    """Goes in front of a trainer whose learner has a head: fits it, trains the labels without it, and tests both.

    Attributes:
        fitted_parameters: numbers that are computed from the images.
    """

    @property
    def fitted_parameters(self) -> int:
        head = self.learner.head
        return int(head.rows.numel() + head.offsets.numel())

    def check_cfg(self, cfg: CfgNode) -> None:
        """What the trainer refuses, and labels that are not learned.

        Raises:
            ConfigError: `TRAINER.LAMM.ENABLED` is False.
        """
        super().check_cfg(cfg)
        if not cfg.TRAINER.LAMM.ENABLED:
            raise ConfigError("TRAINER.LAMM.ENABLED False leaves the head alone: use trainer GDA")

    @torch.no_grad()
    def before_train(self) -> None:
        """What the trainer does, and the head: its images, cached views or plain, don't change with the labels."""
        loader, cached = self.train_loader_x, self.cfg.INPUT.CACHE_VIEWS > 0
        super().before_train()
        if cached:
            self.of_head = self.feature_cache.training_loader(loader)
        else:
            self.of_head = self.feature_cache.training_images(loader, self.test_loader.dataset.transform)
        self.learner.fit(self.of_head.features, self.of_head.labels)

    def test(self, split: str | None = None) -> float:
        """Test; the record has the labels' accuracy without the head too."""
        result = super().test(split)
        if split is None:
            head = self.learner.head
            alone = self.accuracy_of(self.text_features(), self.learner.scores_without_head)
            chosen = {
                "label_scale": self.learner.label_scale.item(),
                "head_scale": head.alpha.item(),
                "head_shrinkage": head.shrinkage.item(),
            }
            self.further_metrics = {**self.further_metrics, "accuracy_without_head": alone, **chosen}
            logger.info("Without the head: %.1f%%", alone)
        return result


class LAMMGDALearner(GaussianHeadMixin, LAMMLearner):
    """Fixed context words, aligned labels, a head."""


class LAMM_GDA(WithGaussianHead, LAMM):
    """Trains a `LAMMGDALearner`; config node `TRAINER.LAMM`."""

    learner_class = LAMMGDALearner
    traits = TRAITS["LAMM_GDA"]


class TopLAMMGDALearner(GaussianHeadMixin, TopLAMMLearner):
    """Tuned blocks, aligned labels, a head on the frozen features."""


class TopLAMM_GDA(WithGaussianHead, TopLAMM):
    """Trains a `TopLAMMGDALearner`; config nodes `TRAINER.LAMM` and `TRAINER.TOPLAMM`."""

    learner_class = TopLAMMGDALearner
    traits = TRAITS["TopLAMM_GDA"]
