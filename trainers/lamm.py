"""LAMM: Label Alignment for Multi-Modal Prompt Learning (AAAI 2024, arXiv:2312.08212).

The class name becomes trainable vectors <M_i>; the words before it stay (Eq. 2):

    z_i = a photo of a <M_i> .          y_i = a photo of a [class name] .

Training holds them near CLIP in parameter space, feature space and logits space:

    L = L_CE + λ1 L_WC + λ2 L_COS + λ3 L_KD                                          (Eq. 9)
    L_CE  = −log softmax_i cos(I, ψ(z_i)) / τ                        the learned prompts' cross-entropy
    L_WC  = Σ_i ‖M_i − M_i⁰‖²,  M_i⁰ the name's embeddings           (Eq. 5)         λ1 = 1 / shots
    L_COS = mean_i 1 − cos(ψ(z_i), ψ(y_i))                           (Eq. 6)         λ2 = 1
    L_KD  = −T² Σ_i softmax_i(s/T) log softmax_i(o/T)                (Eq. 7)         λ3 = 0.05, T = 2
            s = cos(I, ψ(z)) / τ, o = cos(I, ψ(y)) / τ

It adds to any prompt learner. The mixin goes in front of the learner, and the trainer names the result:

    class CoOpLAMMLearner(LabelAlignmentMixin, CoOpLearner): ...
    class CoOp_LAMM(CoOp):
        learner_class = CoOpLAMMLearner

Letters: B images, G prefixes (1, or one per image), N classes, V label vectors, D width, E embedding size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.checkpoints.label_bank import LabelBank
from lamm.checkpoints.unseen_labels import shared_shifts
from lamm.clip.model import ClipModel
from lamm.errors import CheckpointError, ConfigError, unknown_name
from lamm.log import logger
from lamm.losses import COS_OVER, KD_DIRECTIONS, feature_loss, logits_loss, parameter_loss
from lamm.prompt_layout import LABEL_TOKENS, LabelSide, initial_label_vectors
from lamm.prompts import split_prompt
from lamm.scoring import scaled_scores

from .base import PromptTrainer
from .prompt_learner import PromptLearner, lay_out
from .traits import TRAITS

RANDOM_STD = 0.02
CHOICES = {
    "label_tokens": LABEL_TOKENS,
    "label_init": ("words", "random"),
    "kd_direction": KD_DIRECTIONS,
    "cos_over": COS_OVER,
    "teacher": ("clip", "prompt"),
    "unseen_labels": ("shared", "clip"),
}


@dataclass(frozen=True)
class AlignmentSettings:
    """The settings of label alignment; each is `TRAINER.LAMM.<NAME>`.

    Attributes:
        label_tokens: how many vectors stand for a class: `name` (one per sub-token of the name), `single` (one), or
            `released` (as in the authors' code: the first m sub-tokens behind the context vectors).
        label_init: `words`, or `random` (normal, std 0.02).
        hierarchical_loss: False leaves the cross-entropy alone.
        lambda_wc: λ1; negative means 1 / shots.
        lambda_cos: λ2.
        lambda_kd: λ3.
        kd_temperature: T.
        kd_direction: `paper` or `standard`; see `logits_loss`.
        cos_over: L_COS over all `classes`, or over the labels of the `batch`.
        teacher: whose ψ(y): `clip` (frozen, with the initial words), or `prompt` (the current context).
        unseen_labels: what a class that was not trained on gets: `shared` (what the learned labels of the same words
            have in common, `lamm/checkpoints/unseen_labels.py`), or `clip` (CLIP's own label).

    Raises:
        ConfigError: a value that is not among its choices, or a temperature that is not positive.
    """

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
    unseen_labels: str = "shared"

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


def hierarchical_loss(
    settings: AlignmentSettings,
    vectors: Tensor,
    initial: Tensor,
    learned: Tensor,
    original: Tensor,
    logits: Tensor,
    o: Tensor,
    labels: Tensor,
    shots: float,
) -> dict[str, Tensor]:
    """The weighted parts of the hierarchical loss (Eq. 5-9).

    Args:
        settings: the weights λ, the temperature, and which way L_COS and L_KD go.
        vectors: <M_i>, (V, D).
        initial: M_i⁰, (V, D).
        learned: ψ(z), (N, E), or (B, N, E) where each image has prompts of its own.
        original: ψ(y), shaped as `learned`.
        logits: s = cos(I, ψ(z)) / τ, (B, N).
        o: cos(I, ψ(y)) / τ, (B, N).
        labels: (B,).
        shots: n, training images per class.

    Returns:
        {"loss_wc", "loss_cos", "loss_kd"}, to be added to the cross-entropy.

    Raises:
        ConfigError: λ1 is to be 1 / n, and n is not above 0.
    """
    if settings.lambda_wc < 0 and shots <= 0:
        raise ConfigError(
            f"LAMBDA_WC {settings.lambda_wc} means 1 / shots, but there are {shots} shots: give their number"
        )
    lambda_wc = 1.0 / shots if settings.lambda_wc < 0 else settings.lambda_wc
    chosen = labels if settings.cos_over == "batch" else None
    return {
        "loss_wc": lambda_wc * parameter_loss(vectors, initial),
        "loss_cos": settings.lambda_cos * feature_loss(learned, original, chosen),
        "loss_kd": settings.lambda_kd * logits_loss(logits, o, settings.kd_temperature, settings.kd_direction),
    }


class LabelAlignmentMixin(PromptLearner):
    """Goes in front of a prompt learner: its class names become trainable vectors, held near CLIP by the loss above.

    Args:
        *positional: the base learner's arguments.
        alignment: the settings.
        **arguments: the base learner's arguments.

    Attributes:
        label_embeddings: the trainable vectors <M_i> (Eq. 2), class after class, (V, D).
        initial_embeddings: M_i⁰, the names' own embeddings, whatever the vectors start from, (V, D).
        label_counts: how many vectors each class has.
        released_length: m of `LABEL_TOKENS released`; None: the smallest number of sub-tokens of a class name.
    """

    initial_embeddings: Tensor
    released_length: int | None = None

    def __init__(self, *positional: Any, alignment: AlignmentSettings, **arguments: Any) -> None:
        super().__init__(*positional, **arguments)
        self.alignment = alignment
        # The base's layout with label vectors in the place of the names; the base's own stays for ψ(y).
        self.aligned_options = {
            **self.layout_options,
            "label_tokens": alignment.label_tokens,
            "released_length": self.released_length,
        }
        self.aligned_layout = lay_out(self.clip, self.prompts, self.fixed_context(), **self.aligned_options)
        plan = self.aligned_layout.plan
        self.label_counts = [len(vectors) for vectors in plan.label_vectors]
        initial = initial_label_vectors(plan, self.clip.text.token_embedding)  # (V, D)
        self.register_buffer("initial_embeddings", initial, persistent=False)
        start = initial.clone()
        if alignment.label_init == "random":
            start = torch.randn(start.shape).to(start.device) * RANDOM_STD
        self.label_embeddings = nn.Parameter(start)
        self._teacher: Tensor | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode, clip: ClipModel, class_names: Sequence[str]) -> PromptLearner:
        """The learner that a config asks for; with `TRAINER.LAMM.ENABLED False` its base, without the mixin."""
        if cfg.TRAINER.LAMM.ENABLED:
            return super().from_config(cfg, clip, class_names)
        base: type[PromptLearner] = cls.__mro__[cls.__mro__.index(LabelAlignmentMixin) + 1]
        return base.from_config(cfg, clip, class_names)

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """The base learner's arguments and the alignment settings."""
        return {**super().arguments(cfg), "alignment": AlignmentSettings.from_config(cfg)}

    # Eq. 2: the prompt with <M_i> in it.

    def prefix(self, image: Tensor | None = None) -> Tensor:
        """The context side, as the aligned layout cuts it. Shape: (G, P, D)"""
        return self.aligned_layout.prefix(self.context(image))

    def labels(self) -> LabelSide:
        """The label side with the trainable vectors in the place of the class names; see `PromptLearner.labels`."""
        return self.aligned_layout.labels(self.context(), self.label_embeddings)

    # Eq. 5-9: the loss.

    def loss_parts(self, *batch: Any, **further: Any) -> dict[str, Tensor]:
        """L_CE, what the base learner adds to it, and the hierarchical loss; see `PromptLearner.loss_parts`."""
        return {**super().loss_parts(*batch, **further), **self.alignment_loss(*batch, **further)}

    def alignment_loss(
        self, text: Tensor, image: Tensor, logits: Tensor, labels: Tensor, shots: float, earlier: Sequence[Any] = ()
    ) -> dict[str, Tensor]:
        """The weighted parts of the hierarchical loss (Eq. 5-9); empty when it is off.

        Args and shapes are those of `loss_parts`. L_KD, which has a softmax over classes, has it over the classes of
        `earlier` learners too; L_WC and L_COS are about the vectors that are learned now.

        Returns:
            {"loss_wc", "loss_cos", "loss_kd"}, to be added to the cross-entropy.
        """
        if not self.alignment.hierarchical_loss:
            return {}
        teacher = self.teacher_features(image)  # ψ(y): (G, N, E)
        learned, original = (text, teacher.detach()) if self.per_image else (text[0], teacher[0].detach())
        if earlier:
            teacher = torch.cat([teacher, *(learner.teacher_features(image) for learner in earlier)], dim=1)
        o = scaled_scores(image, teacher, self.clip.logit_scale)  # (B, N, and the earlier classes)
        vectors = self.label_embeddings, self.initial_embeddings
        return hierarchical_loss(self.alignment, *vectors, learned, original, logits, o, labels, shots)

    def teacher_features(self, image: Tensor | None = None) -> Tensor:
        """ψ(y): unit text features of the prompts with the original class names, fp32. Shape: (G, N, E)

        Under `TEACHER clip` they belong to frozen CLIP with the initial words, and are encoded once. Under `TEACHER
        prompt` they follow the current context, anew in each step where that is learned.

        Args:
            image: unit image features (B, E); used where the prompts are `per_image`.
        """
        if self._teacher is not None:
            return self._teacher
        if self.alignment.teacher == "clip":
            self._teacher = self.hand_written_features()
            return self._teacher
        # The base learner's own prompt: its layout, and the original names.
        features = self.encode(super().prefix(image), super().labels(), self.deep_prompts())
        if all(name == "label_embeddings" for name, _ in self.named_parameters()):
            self._teacher = features
        return features

    def forget_teacher(self) -> None:
        """Have the teacher encoded anew when it is next asked for."""
        self._teacher = None

    # Checkpoints.

    def shifts_of_unseen(self, bank: LabelBank) -> Tensor:
        """What is added to `initial_embeddings` where the bank does not know a class. Shape: (V, D)

        Raises:
            CheckpointError: the bank's labels are not as long as their names.
        """
        if self.alignment.unseen_labels == "clip":
            return torch.zeros_like(self.initial_embeddings)
        prompts = [split_prompt(self.clip.tokenizer, self.context_words, name) for name in bank.class_names]
        trained = lay_out(self.clip, prompts, **self.aligned_options).plan
        if [len(vectors) for vectors in trained.label_vectors] != bank.counts:
            raise CheckpointError("the checkpoint's labels do not have as many vectors as their names take")
        moved = bank.embeddings.to(self.words.device) - initial_label_vectors(trained, self.clip.text.token_embedding)
        tokens, new = (
            [tuple(vector) for vectors in plan.label_vectors for vector in vectors]
            for plan in (trained, self.aligned_layout.plan)
        )
        shared = shared_shifts(moved, tokens, bank.counts, new)
        logger.info(
            "Unknown classes take over what learned labels of the same words share (%d of their %d vectors); with a "
            "class left out, its squared error is %.0f%% of that of CLIP's own",
            *(int(shared.shifts.any(dim=1).sum()), len(new), 100 * shared.error),
        )
        return shared.shifts

    def label_bank(self) -> LabelBank:
        """The learned labels, for a file of their own."""
        return LabelBank(self.class_names, self.label_counts, self.label_embeddings.detach(), self.clip.name)

    def get_extra_state(self) -> dict[str, Any]:
        """The base learner's, and how many vectors stand for each class."""
        own = {"label_tokens": self.alignment.label_tokens, "label_counts": self.label_counts}
        return {**super().get_extra_state(), **own}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """The base learner's checks, and the same label tokens.

        Raises:
            CheckpointError: the checkpoint was trained with others.
        """
        super().set_extra_state(state)
        own = self.alignment.label_tokens
        if state.get("label_tokens", own) != own:
            raise CheckpointError(
                f'the checkpoint was trained with LABEL_TOKENS "{state["label_tokens"]}", this run has "{own}"'
            )


class LAMMLearner(LabelAlignmentMixin):
    """Fixed context words, aligned labels."""


class LAMM(PromptTrainer):
    """Trains a `LAMMLearner`; config node `TRAINER.LAMM`."""

    learner_class = LAMMLearner
    traits = TRAITS["LAMM"]
