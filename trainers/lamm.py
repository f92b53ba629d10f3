"""LAMM (arXiv:2312.08212): only the class embeddings are learned; the context stays "a photo of a"."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.checkpoints.label_bank import LabelBank
from lamm.errors import CheckpointError, ConfigError, unknown_name
from lamm.losses import COS_OVER, KD_DIRECTIONS, feature_loss, logits_loss, parameter_loss
from lamm.prompt_layout import LABEL_TOKENS, LabelSide, initial_label_vectors
from lamm.scoring import scaled_scores

from .base import PromptTrainer
from .prompt_learner import PromptLearner, lay_out

RANDOM_STD = 0.02
CHOICES = {
    "label_tokens": LABEL_TOKENS,
    "label_init": ("words", "random"),
    "kd_direction": KD_DIRECTIONS,
    "cos_over": COS_OVER,
    "teacher": ("clip", "prompt"),
}


@dataclass(frozen=True)
class AlignmentSettings:
    """The knobs of label alignment; each is `TRAINER.LAMM.<NAME>`.

    Attributes:
        enabled: False gives the base learner back.
        label_tokens: how many vectors stand for a class: `name`, `single` or `released`.
        label_init: `words`, or `random` (normal, std 0.02).
        hierarchical_loss: False leaves the cross-entropy alone.
        lambda_wc: λ1; negative means 1 / shots.
        lambda_cos: λ2.
        lambda_kd: λ3.
        kd_temperature: T.
        kd_direction: `paper` or `standard`.
        cos_over: L_COS over all `classes` or over the labels of the `batch`.
        teacher: `clip`, or `prompt`: the current context with the original names.

    Raises:
        ConfigError: a value that is not among its choices, or a temperature that is not positive.
    """

    enabled: bool = True
    label_tokens: str = "name"
    label_init: str = "words"
    hierarchical_loss: bool = True
    lambda_wc: float = -1.0
    lambda_cos: float = 1.0
    lambda_kd: float = 0.05
    kd_temperature: float = 2.0
    kd_direction: str = "paper"
    cos_over: str = "classes"
    teacher: str = "clip"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(unknown_name(f"value of TRAINER.LAMM.{name.upper()}", getattr(self, name), known))
        if self.kd_temperature <= 0:
            raise ConfigError(f"TRAINER.LAMM.KD_TEMPERATURE must be above 0, got {self.kd_temperature}")

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "AlignmentSettings":
        """Read `TRAINER.LAMM`."""
        node = cfg.TRAINER.LAMM
        return cls(**{name: getattr(node, name.upper()) for name in cls.__dataclass_fields__})


class LabelAlignmentMixin:
    """Put in front of a `PromptLearner`: its class names become trainable vectors, held near CLIP by a loss.

    `class CoOpLAMM(LabelAlignmentMixin, CoOpLearner)` is all that a combination needs.

    Args:
        alignment: the settings.
        **arguments: the base learner's.

    Attributes:
        label_embeddings: the trainable vectors `<M_i>` (Eq. 2), (V, D); absent when disabled.
        initial_embeddings: the original embeddings, L_WC's anchor whatever the initialisation, (V, D).
    """

    alignment: AlignmentSettings
    label_embeddings: nn.Parameter
    initial_embeddings: Tensor

    def __init__(self, *positional: Any, alignment: AlignmentSettings, **arguments: Any) -> None:
        super().__init__(*positional, **arguments)
        self.alignment = alignment
        self._teacher: Tensor | None = None
        if alignment.enabled:
            self._make_labels()

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """The base learner's arguments and the alignment settings."""
        return {**super().arguments(cfg), "alignment": AlignmentSettings.from_config(cfg)}  # type: ignore[misc]

    def _make_labels(self: Any) -> None:
        self.aligned_layout = self.make_layout(
            label_tokens=self.alignment.label_tokens, released_length=self.released_length()
        )
        plan = self.aligned_layout.plan
        self.label_counts = [len(vectors) for vectors in plan.label_vectors]
        initial = initial_label_vectors(plan, self.clip.text.token_embedding)
        self.register_buffer("initial_embeddings", initial, persistent=False)
        start = initial.clone()
        if self.alignment.label_init == "random":
            start = torch.randn(start.shape).to(start.device) * RANDOM_STD
        self.label_embeddings = nn.Parameter(start)

    def released_length(self) -> int | None:
        """m of `LABEL_TOKENS released`; None: the smallest sub-token count over the class names."""
        return None

    def prefix(self: Any, image: Tensor | None = None) -> Tensor:
        """The context side, as the aligned layout cuts it. Shape: (G, P, D)"""
        if not self.alignment.enabled:
            return super().prefix(image)  # type: ignore[misc]
        return self.aligned_layout.prefix(self.context(image))

    def labels(self: Any) -> LabelSide:
        """The label side with the trainable vectors in the place of the class names."""
        if not self.alignment.enabled:
            return super().labels()  # type: ignore[misc]
        return self.aligned_layout.labels(self.context(), self.label_embeddings)

    def teacher_features(self: Any, image: Tensor | None = None) -> Tensor:
        """ψ(y): unit text features of the prompts with the original class names, fp32. Shape: (G, N, E)

        Under `TEACHER clip` they belong to frozen CLIP with the initial context words and are encoded once; under
        `TEACHER prompt` they follow the current context, each step anew where that is learned.

        Args:
            image: unit image features (B, E); used where the prompts are `per_image`.
        """
        if self._teacher is not None:
            return self._teacher
        if self.alignment.teacher == "clip":
            self._teacher = self._clip_features()
            return self._teacher
        prefix = super().prefix(image)  # type: ignore[misc]
        features = self.encode(prefix, self.original_labels(), self.deep_prompts())
        if not any(parameter.requires_grad for parameter in self.base_parameters()):
            self._teacher = features
        return features

    def forget_teacher(self) -> None:
        """Have the teacher encoded anew when it is next asked for."""
        self._teacher = None

    def base_parameters(self: Any) -> list[nn.Parameter]:
        """What the base learner trains."""
        return [value for name, value in self.named_parameters() if name != "label_embeddings"]

    @torch.no_grad()
    def _clip_features(self: Any) -> Tensor:
        layout = lay_out(self.clip, self.split_prompts(self.teacher_words()), n_ctx=0).to(self.words.device)
        none = self.no_vectors()
        return self.encode(layout.prefix(none[None]), layout.labels(none[None], none))

    def loss_parts(self: Any, *given: Any) -> dict[str, Tensor]:
        """The base learner's parts of the loss, and those of `alignment_loss`, whose arguments it takes."""
        return {**super().loss_parts(*given), **self.alignment_loss(*given)}  # type: ignore[misc]

    def alignment_loss(
        self: Any, text: Tensor, image: Tensor, logits: Tensor, labels: Tensor, shots: float
    ) -> dict[str, Tensor]:
        """The weighted parts of the hierarchical loss (Eq. 5–9); empty when it is off.

        Args:
            text: unit features of the learned prompts, (G, N, E).
            image: unit image features, (B, E).
            logits: the learned scores cos(I, ψ(z)) / τ, (B, N).
            labels: (B,).
            shots: n, training images a class, for λ1 = 1 / n.

        Returns:
            {"loss_wc", "loss_cos", "loss_kd"}, to be added to the cross-entropy.
        """
        knobs = self.alignment
        if not (knobs.enabled and knobs.hierarchical_loss):
            return {}
        teacher = self.teacher_features(image)
        learned, original = (text, teacher.detach()) if self.per_image else (text[0], teacher[0].detach())
        chosen = labels if knobs.cos_over == "batch" else None
        weight = 1.0 / shots if knobs.lambda_wc < 0 else knobs.lambda_wc
        return {
            "loss_wc": weight * parameter_loss(self.label_embeddings, self.initial_embeddings),
            "loss_cos": knobs.lambda_cos * feature_loss(learned, original, chosen),
            "loss_kd": self.distillation_loss(logits, image, teacher),
        }

    def distillation_loss(self: Any, logits: Tensor, image: Tensor, teacher: Tensor) -> Tensor:
        """λ3 · L_KD (Eq. 7).

        Args:
            logits: the learned scores, (B, N).
            image: unit image features, (B, E).
            teacher: the teacher's unit text features of the same classes, (G, N, E).
        """
        knobs = self.alignment
        scores = scaled_scores(image, teacher, self.clip.logit_scale)
        return knobs.lambda_kd * logits_loss(logits, scores, knobs.kd_temperature, knobs.kd_direction)

    def get_extra_state(self: Any) -> dict[str, Any]:
        """The base learner's, and how many vectors stand for each class."""
        state = super().get_extra_state()  # type: ignore[misc]
        if not self.alignment.enabled:
            return state
        return {**state, "label_tokens": self.alignment.label_tokens, "label_counts": self.label_counts}

    def set_extra_state(self: Any, state: dict[str, Any]) -> None:
        """The base learner's checks, and the same label tokens.

        Raises:
            CheckpointError: the checkpoint was trained with others.
        """
        super().set_extra_state(state)  # type: ignore[misc]
        own = self.alignment.label_tokens
        if self.alignment.enabled and state.get("label_tokens", own) != own:
            raise CheckpointError(
                f'the checkpoint was trained with LABEL_TOKENS "{state["label_tokens"]}", this run has "{own}"'
            )

    def label_bank(self: Any) -> LabelBank | None:
        """The learned labels, for a file of their own; None when disabled."""
        if not self.alignment.enabled:
            return None
        return LabelBank(self.class_names, self.label_counts, self.label_embeddings.detach(), self.clip.name)


class LAMMLearner(LabelAlignmentMixin, PromptLearner):
    """Fixed context words, aligned labels."""


class LAMM(PromptTrainer):
    """Trains a `LAMMLearner`; config node `TRAINER.LAMM`."""

    learner_class = LAMMLearner
    config_node = "LAMM"
    default_config = "vit_b16_ep50_ctxv1"
    tiny_config = "tiny_ep50"
