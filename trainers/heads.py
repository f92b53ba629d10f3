"""Heads on image features, beside or in place of zero-shot scores: what their trainers share.

A head is computed from the features of all training images. What it chooses for itself, such as a weight, it chooses by
the training images alone; `TRAINER.<node>.CHOICE val` chooses by the validation images, as the authors' code does.

The weight α of scores s beside zero-shot scores z, from scores of images that s has not seen (leave-one-out):

    min over a, b > 0   Σ_images −log softmax_y(a z + b r s) + ½ (ln² a + ln² b)        α = r b / a

r makes the spread of s over the classes that of z. The second term, a normal prior on ln a and ln b, counts where the
images say nothing: with one image per class none is left of its class, and both weigh the same. a is there since z may
be too sure of itself, which must not make α small; what is left of it is a temperature, which no decision needs.

Letters: B images, n training images, k views of each, N classes, E embedding size.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.datasets import IMAGENET_TEMPLATES, template_of
from lamm.errors import ConfigError
from lamm.gda import NEVER
from lamm.log import logger
from lamm.scoring import TemplatePrompts, scaled_scores

from .base import PromptTrainer


def weight_of_least_loss(zero_shot: Tensor, scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """α as above.

    Args:
        zero_shot: z, (n, k, N); each view has a k-th of its image's loss.
        scores: s, (n, k, N); −inf where a class is not known without the image, whose loss is left out then.
        labels: (n,).

    Returns:
        α, and the loss that it comes with.
    """
    scored = scores.isfinite()
    ratio = spread(zero_shot, scored) / spread(scores, scored).clamp(min=1e-12)
    known = scored[torch.arange(len(labels), device=labels.device), :, labels].all(dim=1)  # (n,)
    views = zero_shot.shape[1]
    # A class without images has −inf, whose gradient would not be a number.
    z, s = zero_shot[known].flatten(0, 1), ratio * scores[known].flatten(0, 1).clamp(min=NEVER)  # (known · k, N)
    targets = labels[known].repeat_interleave(views)
    logs = torch.zeros(2, device=labels.device, requires_grad=True)

    def loss() -> Tensor:
        weights = logs.exp()
        images = F.cross_entropy(weights[0] * z + weights[1] * s, targets, reduction="sum") / views
        return images + 0.5 * logs.square().sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer = torch.optim.LBFGS([logs], max_iter=30, line_search_fn="strong_wolfe")
        optimizer.step(closure)
    with torch.no_grad():
        return (ratio * (logs[1] - logs[0]).exp()).item(), loss().item()


def spread(scores: Tensor, scored: Tensor) -> Tensor:
    """Standard deviation of an image's scores over those classes that are `scored`, root mean square over images."""
    count = scored.sum(dim=-1).clamp(min=1)
    away = (scores - (scores.where(scored, 0.0).sum(dim=-1) / count)[..., None]).where(scored, 0.0)
    return (away.square().sum(dim=-1) / count).mean().sqrt()


class Images(NamedTuple):
    """Unit features (m, E) and labels (m,) of images, one view each."""

    features: Tensor
    labels: Tensor


class Head(TemplatePrompts):
    """Hand-written prompts and a head; a subclass has `fit`, `scores` and `exported`.

    The head has a row for each class that it was computed from, and says nothing of others.
    """

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__(clip, class_names, templates)
        self.templates = list(templates)

    def fit(self, features: Tensor, labels: Tensor, val: Images | None = None) -> None:
        """Compute the head.

        Args:
            features: unit features of the training images, (n, k, E).
            labels: (n,).
            val: validation images to choose by; None: it is chosen by the training images alone.
        """
        raise NotImplementedError

    def chosen(self) -> dict[str, float]:
        """What `fit` has chosen, by name, for the run's record."""
        return {}

    def zero_shot(self, image: Tensor) -> Tensor:
        """cos(I, ψ) / τ of unit features (…, E), over the classes of all `learners`. Shape: (…, N)"""
        text = torch.cat([learner.features for learner in self.learners], dim=1)  # (1, N, E)
        return scaled_scores(image.flatten(0, -2), text, self.clip.logit_scale).view(*image.shape[:-1], -1)

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside the head: its classes, backbone and templates."""
        prompt = {f"template {number}": text for number, text in enumerate(self.templates, start=1)}
        return {**super().get_extra_state(), "prompt": prompt}


class OnTemplates(PromptTrainer):
    """A trainer of a head: templates as in the papers, and what is chosen in the run's record.

    The template is `DATASET.TEMPLATE`, else the data set's own; for ImageNet seven, whose features are averaged.
    """

    learner_class: type[Head] | None = None
    # Of heads of others; ours have a line in traits.py.
    learns_in_steps = False
    has_templates = True
    serves_other_classes = False

    def build_model(self) -> None:
        """Choose the templates, load CLIP and build the head."""
        name, given = self.cfg.DATASET.NAME, self.cfg.DATASET.TEMPLATE
        own = given or getattr(self.dm.dataset, "template", "")
        self.templates = list(IMAGENET_TEMPLATES)
        if own or not name.startswith("ImageNet"):
            self.templates = [own or template_of(name)]
        logger.info("Templates: %s", ", ".join(f'"{template}"' for template in self.templates))
        super().build_model()

    @classmethod
    def make_learner(
        cls, cfg: CfgNode, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str] = ()
    ) -> Any:
        """The head, not yet computed; a run's folder keeps what its templates were."""
        assert cls.learner_class is not None, f"{cls.__name__} has no learner_class"
        return cls.learner_class(clip, class_names, templates)

    def images_to_choose_by(self) -> Images | None:
        """The validation images, if the config chooses by them.

        Raises:
            ConfigError: there are none.
        """
        key = f"TRAINER.{self.config_node}.CHOICE"
        if self.cfg.TRAINER[self.config_node].get("CHOICE", "train") != "val":
            return None
        if self.val_loader is None:
            raise ConfigError(f"{key} val needs validation images, and {self.cfg.DATASET.NAME} has none: set train")
        self.val_loader = self.feature_cache.test_loader(self.val_loader)
        return Images(self.val_loader.features[:, 0], self.val_loader.labels)

    @torch.no_grad()
    def after_train(self) -> None:
        """Record what was chosen, then test."""
        self.further_metrics = {**self.further_metrics, **self.learner.chosen()}
        for name, value in self.learner.chosen().items():
            logger.info("Chosen: %s %.4g", name, value)
        super().after_train()


class HeadTrainer(OnTemplates):
    """A trainer of a head that is computed from all training features at once: one "epoch", without steps.

    Attributes:
        fitted_parameters: numbers that are computed from the images; those that are images, as keys are, don't count.
    """

    closed_form = True

    def build_model(self) -> None:
        """Choose the templates, load CLIP and build the head, which is saved and loaded as learners are."""
        super().build_model()
        self.max_epoch = 1
        self.register_model(self.registered_name, self.learner)

    @property
    def fitted_parameters(self) -> int:
        parts = ("weight", "bias", "means", "head.rows", "head.offsets")
        return sum(value.numel() for name, value in self.learner.named_buffers() if name in parts)

    def training_loader(self, loader: Any) -> Any:
        """Cached views of the training images; without `INPUT.CACHE_VIEWS` each as the test transform gives it."""
        if self.cfg.INPUT.CACHE_VIEWS > 0:
            return self.feature_cache.training_loader(loader)
        return self.feature_cache.training_images(loader, self.test_loader.dataset.transform)

    @torch.no_grad()
    def run_epoch(self) -> None:
        """Compute the head."""
        self.learner.fit(self.train_loader_x.features, self.train_loader_x.labels, self.images_to_choose_by())

    def _learned(self) -> list[Tensor]:
        return list(self.learner.buffers())
