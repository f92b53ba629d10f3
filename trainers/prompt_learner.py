"""What a prompt learner is: the two sides of the prompt, `prefix()` and `labels()`.

Letters: B images, G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, D width,
E embedding size, C context vectors.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.clip.shared_prefix import TextEncoder, text_encoder_of
from lamm.clip.vision import VisionPrompts
from lamm.errors import CheckpointError, ConfigError
from lamm.prompt_layout import LabelSide, PromptLayout, plan_prompts
from lamm.prompts import DEFAULT_CONTEXT, PromptTokens, split_prompt, spoken_words


class PromptLearner(nn.Module):
    """Prompts whose context is fixed words and whose labels are the class names; what learners are derived from.

    It learns nothing. A subclass overrides `context()`, `deep_prompts()`, `vision_prompts()` and `loss_parts()` as it
    needs; `prefix()` and `labels()` are made from the context, by the mixin too. Its parameters are what is trained and
    saved. CLIP's weights are used, but are no part of the module.

    Args:
        clip: the frozen CLIP model.
        class_names: one a class, in label order.
        context_init: the words before the class name.

    Attributes:
        words: embeddings of the context words, (number of their sub-tokens, D).
        per_image: whether the prompts depend on the image.
    """

    words: Tensor
    per_image = False

    def __init__(self, clip: ClipModel, class_names: Sequence[str], context_init: str = DEFAULT_CONTEXT) -> None:
        super().__init__()
        self.class_names = list(class_names)
        self.context_words = spoken_words(context_init)
        self._frozen = _Frozen(clip)
        self.prompts = self.split_prompts(self.context_words)
        self.register_buffer("words", self.embed(self.prompts[0].context), persistent=False)
        self.layout = self.make_layout()

    @classmethod
    def from_config(cls, cfg: CfgNode, clip: ClipModel, class_names: Sequence[str]) -> "PromptLearner":
        """Build the learner that a config asks for."""
        learner = cls(clip, class_names, **cls.arguments(cfg))
        learner.encode_in_chunks(cfg.TRAINER.TEXT_CHUNK)
        return learner

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """The constructor's arguments as a config gives them; the only place that reads it."""
        return {"context_init": cfg.TRAINER.LAMM.CTX_INIT}

    @property
    def clip(self) -> ClipModel:
        """The frozen CLIP model."""
        return self._frozen.clip

    def split_prompts(self, context: str, reserved: int = 0) -> list[PromptTokens]:
        """Every class's prompt in its parts; `reserved` positions are kept free for vectors without words."""
        tokenizer, length = self.clip.tokenizer, self.clip.text.context_length
        return [split_prompt(tokenizer, context, name, length, reserved) for name in self.class_names]

    def embed(self, tokens: Sequence[int]) -> Tensor:
        """CLIP's token embeddings in fp32. Shape: (len(tokens), D)"""
        table = self.clip.text.token_embedding
        with torch.no_grad():
            return table(torch.tensor(list(tokens), dtype=torch.long, device=table.weight.device)).float()

    def layout_options(self) -> dict[str, Any]:
        """How this learner lays a prompt out: arguments of `plan_prompts`."""
        return {"n_ctx": len(self.prompts[0].context)}

    def make_layout(self, **options: Any) -> PromptLayout:
        """This learner's layout; `options` are further arguments of `plan_prompts`."""
        # Words never change; what a subclass has for a context may.
        fixed_context = self.words if type(self).context is PromptLearner.context else None
        return lay_out(self.clip, self.prompts, fixed_context, **self.layout_options(), **options)

    def encode_in_chunks(self, prompts: int) -> None:
        """Have training encode `prompts` prompts at a time, so that memory does not grow with the classes; 0: all.

        Raises:
            ConfigError: a negative number.
        """
        if prompts < 0:
            raise ConfigError(f"TRAINER.TEXT_CHUNK must be 0 or above, got {prompts}")
        self._frozen.text_encoder.chunk = prompts

    @property
    def text_encoder(self) -> TextEncoder:
        """What encodes the prompts."""
        return self._frozen.text_encoder

    def encode_with(self, encoder: TextEncoder) -> None:
        """Have another text encoder do the work, such as the plain one, to compare with."""
        encoder.chunk = self._frozen.text_encoder.chunk
        self._frozen.text_encoder = encoder

    def context(self, image: Tensor | None = None) -> Tensor:
        """The context vectors, (G, C, D); here the embeddings of the fixed words.

        Args:
            image: unit image features (B, E), for learners whose context depends on them; None asks for the context
                without an image.
        """
        return self.words[None]

    def teacher_words(self) -> str:
        """The words before the class name in the prompts that CLIP's teacher reads."""
        return self.context_words

    def prefix(self, image: Tensor | None = None) -> Tensor:
        """The context side: what stands before every class's label side. Shape: (G, P, D)"""
        return self.layout.prefix(self.context(image))

    def labels(self) -> LabelSide:
        """The label side: (N, T, D) and the places of the end tokens, (N,)."""
        return self.original_labels()

    def original_labels(self) -> LabelSide:
        """The label side with the original class names, whatever `labels()` has become."""
        return self.layout.labels(self.context(), self.no_vectors())

    def deep_prompts(self) -> Sequence[Tensor]:
        """Context of the text tower's blocks after the first, (C, D) each; see `TextTower.transform`."""
        return ()

    def vision_prompts(self) -> VisionPrompts | None:
        """Prompts of the image tower; None: it runs as it is, and no gradient goes through it."""
        return None

    def no_vectors(self) -> Tensor:
        """Label vectors of a layout that has none. Shape: (0, D)"""
        return self.words.new_empty(0, self.words.shape[1])

    def encode(self, prefix: Tensor, labels: LabelSide, deep: Sequence[Tensor] = ()) -> Tensor:
        """Unit text features in fp32. Shape: (G, N, E)"""
        with self.clip.autocast():
            features = self._frozen.text_encoder.encode(prefix, labels.embeddings, labels.end, deep, labels.packing)
        return F.normalize(features.float(), dim=-1)

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features ψ(z) of the current prompts, fp32. Shape: (G, N, E)

        Args:
            image: unit image features (B, E); used where the prompts are `per_image`.
        """
        return self.encode(self.prefix(image), self.labels(), self.deep_prompts())

    def loss_parts(
        self, text: Tensor, image: Tensor, logits: Tensor, labels: Tensor, shots: float
    ) -> dict[str, Tensor]:
        """The parts whose sum is the loss, by the name they are printed under; here the cross-entropy.

        Args:
            text: unit features of the learned prompts, (G, N, E).
            image: unit image features, (B, E).
            logits: the learned scores cos(I, ψ(z)) / τ, (B, N).
            labels: (B,).
            shots: n, training images a class.
        """
        return {"loss_ce": F.cross_entropy(logits, labels)}

    def per_class_tensors(self) -> tuple[str, ...]:
        """Names of the learned tensors, other than labels, that have a row for every class."""
        return ()

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside the learned tensors."""
        return {
            "class_names": self.class_names,
            "backbone": self.clip.name,
            "width": self.clip.text.width,
            "prompt": {"words": self.context_words, **self.layout_options()},
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Check that the tensors belong to this backbone and class list.

        `lamm.checkpoints.by_class_name.load_learned` is the way onto another class list: it goes by class name.

        Raises:
            CheckpointError: they don't.
        """
        if state["class_names"] != self.class_names:
            raise CheckpointError(
                "the checkpoint to resume from was trained on another class list: "
                "resume on its own, or test it on this one with --eval-only --model-dir"
            )
        if state["backbone"] != self.clip.name:
            raise CheckpointError(
                f"the checkpoint was trained with backbone {state['backbone']}, this run uses {self.clip.name}"
            )


def lay_out(
    clip: ClipModel, prompts: Sequence[PromptTokens], fixed_context: Tensor | None = None, **options: Any
) -> PromptLayout:
    """Prompts laid out for a CLIP model; `options` are arguments of `plan_prompts`."""
    plan = plan_prompts(prompts, clip.tokenizer.start, clip.tokenizer.end, **options)
    return PromptLayout(plan, clip.text.token_embedding, clip.tokenizer.end, fixed_context)


class _Frozen:
    """CLIP, held so that its weights are no part of the learner's state."""

    def __init__(self, clip: ClipModel) -> None:
        self.clip = clip
        self.text_encoder = text_encoder_of(clip.text)


CONTEXT_STD = 0.02


class LearnedContextLearner(PromptLearner):
    """A learner whose context vectors start from words, or from none.

    A subclass sets `_n_ctx`, the number of vectors, before it calls this class's constructor.
    """

    _n_ctx: int

    def split_prompts(self, context: str, reserved: int = 0) -> list[PromptTokens]:
        """Every class's prompt; vectors without words take positions too."""
        return super().split_prompts(context, reserved if context else self._n_ctx)

    def teacher_words(self) -> str:
        """The words that the context starts from; "a photo of a" where it starts from none."""
        return self.context_words or DEFAULT_CONTEXT


def require_room(clip: ClipModel, n_ctx: int) -> None:
    """Refuse more context vectors than fit beside the shortest name.

    Raises:
        ConfigError: there are more.
    """
    longest = clip.text.context_length - 4  # start, one sub-token of a name, full stop, end
    if n_ctx > longest:
        raise ConfigError(f"N_CTX is {n_ctx}, but the text tower has room for at most {longest} context vectors")
