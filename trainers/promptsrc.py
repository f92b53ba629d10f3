"""PromptSRC (Self-regulating Prompts, arXiv:2307.06948): independent prompts in both towers, held near frozen CLIP.

    L = L_CE + λ_t mean |w − t| + λ_i mean |f − f0| + KL(p0 ‖ p) / K                 λ_t = 25, λ_i = 10
        w, f   features of class names and images under the prompts, p = softmax cos(f, w) / τ
        t, f0  frozen CLIP's: t of 60 templates, the mean of their features; f0 of the same augmented image
        p0     softmax cos(f0, t) / τ; the divergence is a mean over images, and over the K classes

After the last epoch the prompts are their mean over all epochs, with Gaussian weights (GPA):

    θ = Σ_e g_e θ_e / Σ_e g_e,   g_e = exp(−½ ((e − m) / σ)²),   e = 1 … E           m = 30, σ = 30

Only the last epoch has the mean, so none is chosen (`TEST.FINAL_MODEL best_val` is refused). It is of what is trained;
the released code takes it over the whole model, whose frozen weights, in fp16, are then rounded; and its σ and m are
others on five data sets (`vit_b16_c4_ep50_batch4_released.yaml`).

Letters: B images, G prefixes (here 1), K classes, C prompts a layer, D width of the text tower, W width of the image
tower, E embedding size in shapes, epochs in the sum.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.clip.open_clip_models import imagenet_templates
from lamm.clip.text import encode_texts
from lamm.clip.vision import VisionPrompts
from lamm.errors import CheckpointError, ConfigError
from lamm.parallel.sharing import ImageShare
from lamm.prompts import DEFAULT_CONTEXT, fill_template, spoken_words, tokenize
from lamm.scoring import scaled_scores

from .base import PromptTrainer
from .lamm import LabelAlignmentMixin
from .maple import check_prompts
from .prompt_learner import CONTEXT_STD, PromptLearner
from .traits import TRAITS

TEMPLATES = 60
"""How many of CLIP's 80 ImageNet templates the teacher takes, the first ones; "a photo of a {}." is among them."""


class PromptSRCLearner(PromptLearner):
    """Prompts at the input of the first layers of both towers, the text's and the image's independent of each other.

    Args:
        clip: the frozen CLIP model; its image tower is a vision transformer.
        class_names: one per class.
        n_ctx: C, prompts per layer; those of the text's first layer stand for the first C sub-tokens of `context_init`.
        context_init: words before the class name; empty: the first layer's vectors start normal, std 0.02.
        prompt_depth: layers that get prompts, the input being the first.
        lambda_text: λ_t.
        lambda_image: λ_i.
        templates: of t, with `{}` for the class name; None: the first 60 of CLIP's for ImageNet.

    Attributes:
        ctx: prompts at the input of the text tower, (C, D).
        text_prompts: those of its deeper layers, (C, D) each, normal, std 0.02.
        image_prompts: those of the image tower, the input's first, (C, W) each, normal, std 0.02.

    Raises:
        BackboneError: the image tower is not a vision transformer.
        ConfigError: more context vectors than words, none at all, or a depth that a tower does not have.
    """

    def __init__(
        self,
        clip: ClipModel,
        class_names: Sequence[str],
        n_ctx: int = 4,
        context_init: str = DEFAULT_CONTEXT,
        prompt_depth: int = 9,
        lambda_text: float = 25.0,
        lambda_image: float = 10.0,
        templates: Sequence[str] | None = None,
    ) -> None:
        words = spoken_words(context_init)
        check_prompts(clip, n_ctx, words, prompt_depth)
        super().__init__(clip, class_names, words, n_ctx)
        self.lambda_text, self.lambda_image = lambda_text, lambda_image
        self.templates = imagenet_templates()[:TEMPLATES] if templates is None else templates

        def random(layers: int, width: int) -> nn.ParameterList:
            return nn.ParameterList(torch.randn(n_ctx, width) * CONTEXT_STD for _ in range(layers))

        width = clip.text.width
        self.ctx = nn.Parameter(self.words[:n_ctx].clone() if words else torch.randn(n_ctx, width) * CONTEXT_STD)
        self.text_prompts = random(prompt_depth - 1, width)
        self.image_prompts = random(prompt_depth, clip.vision_sizes.width)
        self._mean: dict[str, Tensor] = {}  # θ so far
        self._weight = 0.0  # Σ g_e so far

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read `TRAINER.PROMPTSRC`."""
        node = cfg.TRAINER.PROMPTSRC
        return {
            "n_ctx": node.N_CTX,
            "context_init": node.CTX_INIT,
            "prompt_depth": node.PROMPT_DEPTH,
            "lambda_text": node.LAMBDA_TEXT,
            "lambda_image": node.LAMBDA_IMAGE,
        }

    # The prompts.

    def context(self, image: Tensor | None = None) -> Tensor:
        """The first layer's vectors. Shape: (1, C, D)"""
        return self.ctx[None]

    def deep_prompts(self) -> Sequence[Tensor]:
        """The deeper layers' vectors, (C, D) each."""
        return tuple(self.text_prompts)

    def vision_prompts(self) -> VisionPrompts:
        """The image tower's vectors, (C, W) each."""
        first, *deep = self.image_prompts
        return VisionPrompts(first, deep)

    # The loss.

    @cached_property
    def of_templates(self) -> Tensor:
        """t: unit features, of the mean of the templates' raw ones; encoded once, in training. Shape: (1, K, E)"""
        return template_features(self.clip, self.class_names, self.templates)[None]

    def loss_parts(self, text: Tensor, *batch: Any, **further: Any) -> dict[str, Tensor]:
        """The cross-entropy and the part about text features; see `PromptLearner.loss_parts`."""
        loss_text = self.lambda_text * F.l1_loss(text, self.of_templates.expand_as(text))
        return {**super().loss_parts(text, *batch, **further), "loss_text": loss_text}

    def image_parts(self, image: Tensor, frozen: Tensor, logits: Tensor) -> dict[str, Tensor]:
        """The parts about image features and scores.

        Args:
            image: f, (B, E).
            frozen: f0, (B, E).
            logits: cos(f, w) / τ, (B, K); scores of classes that were learned before may follow.
        """
        zero_shot = scaled_scores(frozen, self.of_templates, self.clip.logit_scale)  # (B, K)
        log_p, log_p0 = (scores.log_softmax(dim=-1) for scores in (logits[:, : zero_shot.shape[1]], zero_shot))
        return {
            "loss_image": self.lambda_image * F.l1_loss(image, frozen),
            "loss_logits": F.kl_div(log_p, log_p0, log_target=True, reduction="sum") / log_p.numel(),  # B · K
        }

    # GPA.

    @torch.no_grad()
    def add_to_mean(self, weight: float) -> None:
        """Take what is learned now into θ, with the weight g_e."""
        self._weight += weight
        share = weight / self._weight if self._weight else 1.0
        for name, value in self.named_parameters():
            self._mean[name] = self._mean.get(name, value).lerp(value, share)

    @torch.no_grad()
    def load_mean(self) -> None:
        """Have θ in place of what is learned now, and forget it."""
        for name, value in self.named_parameters():
            value.copy_(self._mean[name])
        self._mean, self._weight = {}, 0.0

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside the learned tensors; θ, until it is loaded."""
        return {**super().get_extra_state(), "gaussian_mean": self._mean, "gaussian_weight": self._weight}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """The checks of every learner, and θ.

        Raises:
            CheckpointError: θ is of other tensors.
        """
        super().set_extra_state(state)
        own = dict(self.named_parameters())
        mean, weight = state.get("gaussian_mean", {}), float(state.get("gaussian_weight", 0.0))
        if mean and {name: value.shape for name, value in mean.items()} != {n: p.shape for n, p in own.items()}:
            raise CheckpointError("its Gaussian mean over epochs is not of the tensors that this run learns")
        self._mean, self._weight = {name: value.to(own[name]) for name, value in mean.items()}, weight


class PromptSRC(PromptTrainer):
    """Trains a `PromptSRCLearner`; config node `TRAINER.PROMPTSRC`."""

    learner_class: type[PromptLearner] = PromptSRCLearner
    traits = TRAITS["PromptSRC"]

    def loss_parts(self, images: Tensor | ImageShare, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The parts of the loss, those that need f0 too; see `PromptTrainer.loss_parts`."""
        image = self.image_features(images)
        parts, logits = self.parts_of(image, labels)
        frozen = self.encoded(images, self.clip.image_features)  # (B, E)
        return {**parts, **self.learner.image_parts(image, frozen, logits)}, logits

    def before_train(self) -> None:
        """Refuse to choose an epoch, then what every trainer does.

        Raises:
            ConfigError: `TEST.FINAL_MODEL best_val`.
        """
        if self.cfg.TEST.FINAL_MODEL == "best_val" and not self.cfg.TEST.NO_TEST:
            raise ConfigError(
                f"TEST.FINAL_MODEL best_val does not go with {type(self).__name__}: its model is the mean over all "
                "epochs, which the last one alone has; use last_step"
            )
        super().before_train()

    def after_epoch(self) -> None:
        """Take the epoch into the Gaussian mean, which the last checkpoint holds; then what every trainer does."""
        node = self.cfg.TRAINER.PROMPTSRC
        weights = gaussian_weights(self.max_epoch, node.GPA_MEAN, node.GPA_STD)
        self.learner.add_to_mean(weights[self.epoch])
        if self.epoch + 1 == self.max_epoch:
            self.learner.load_mean()
        super().after_epoch()


def gaussian_weights(epochs: int, mean: float, std: float) -> list[float]:
    """g_e of the epochs 1 … E, which add up to 1."""
    numbers = torch.arange(1, epochs + 1, dtype=torch.float64)
    return (-0.5 * ((numbers - mean) / std) ** 2).softmax(dim=0).tolist()


@torch.no_grad()
def template_features(clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Unit features of the mean over templates of CLIP's features, these not normalised, fp32. Shape: (K, E)"""
    total = torch.zeros((), device=clip.logit_scale.device)
    with clip.autocast():
        for template in templates:
            prompts = [fill_template(template, name) for name in class_names]
            total = total + encode_texts(clip.text, tokenize(clip.tokenizer, prompts, clip.text.context_length)).float()
    return F.normalize(total, dim=-1)


class PromptSRCLAMMLearner(LabelAlignmentMixin, PromptSRCLearner):
    """PromptSRC's prompts, aligned labels."""


class PromptSRC_LAMM(PromptSRC):
    """Trains a `PromptSRCLAMMLearner`; config nodes `TRAINER.PROMPTSRC` and, for the labels, `TRAINER.LAMM`."""

    learner_class = PromptSRCLAMMLearner
    traits = TRAITS["PromptSRC_LAMM"]
