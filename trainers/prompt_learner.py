"""What a prompt learner is: the two sides of the prompt, `prefix()` and `labels()`.

A prompt is `prefix | label side`: what all classes share (start token, context), then what differs (class name, full
stop, end token). A method overrides `context()` and what else it learns; both sides are built from that.

Letters: B images, G prefixes (1, or one per image), N classes, P prefix positions, T label-side positions, D width of
the text tower, E embedding size, C context vectors.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.clip.shared_prefix import TextEncoder, text_encoder_of
from lamm.clip.text import Chunks
from lamm.errors import ConfigError
from lamm.prompt_layout import LabelSide, PromptLayout, plan_prompts
from lamm.prompts import DEFAULT_CONTEXT, PromptTokens, split_prompt, spoken_words
from lamm.scoring import Prompts

CONTEXT_STD = 0.02
"""Standard deviation of context vectors that do not start from words."""


class PromptLearner(Prompts):
    """Prompts with fixed context words and the class names as labels; the base class of every learner.

    It learns nothing itself: its text features are those of hand-written prompts. A subclass overrides `context()`,
    `deep_prompts()`, `vision_prompts()` and `loss_parts()` as it needs. Its parameters are what is trained and saved.

    Args:
        clip: the frozen CLIP model.
        class_names: one per class, in label order.
        context_init: the words before the class name; empty: none.
        n_ctx: how many context vectors the subclass learns. They stand for the first `n_ctx` sub-tokens of the words,
            or, if there are no words, take positions of their own. None: the words stay as they are.
        **layout: further arguments of `plan_prompts` that say where things stand (`position`, `class_specific`).

    Attributes:
        text_encoder: encodes the prompts; `encode_with` replaces it.
        words: embeddings of the context words, (number of their sub-tokens, D).
        layout: where context and label stand in each class's prompt.

    Raises:
        ConfigError: more context vectors than the text tower has room for.
        PromptError: an empty class name, or a prompt that is longer than the text tower takes.

    Example:
        >>> from lamm.clip.loading import load_clip
        >>> clip = load_clip("tiny", "", torch.float32, torch.device("cpu"))
        >>> PromptLearner(clip, ["zebra star", "circle"]).text_features().shape
        torch.Size([1, 2, 256])
    """

    text_encoder: TextEncoder
    words: Tensor

    def __init__(
        self,
        clip: ClipModel,
        class_names: Sequence[str],
        context_init: str = DEFAULT_CONTEXT,
        n_ctx: int | None = None,
        **layout: Any,
    ) -> None:
        super().__init__(clip, class_names)
        self.text_encoder = text_encoder_of(clip.text)
        self.context_words = spoken_words(context_init)
        self._learns_context = n_ctx is not None
        # Vectors that stand for no words need positions of their own.
        reserved = 0 if self.context_words else n_ctx or 0
        longest = clip.text.context_length - 4  # start token, one sub-token of a name, full stop, end token
        if reserved > longest:
            raise ConfigError(f"N_CTX is {n_ctx}, but the text tower has room for at most {longest} context vectors")
        self.prompts = self._split(self.context_words, reserved)
        words = self.prompts[0].context
        self.register_buffer("words", embed(clip, words), persistent=False)
        self.layout_options = {"n_ctx": len(words) if n_ctx is None else n_ctx, **layout}
        self.layout = lay_out(clip, self.prompts, self.fixed_context(), **self.layout_options)

    @classmethod
    def from_config(cls, cfg: CfgNode, clip: ClipModel, class_names: Sequence[str]) -> "PromptLearner":
        """The learner that a config asks for."""
        learner = cls(clip, class_names, **cls.arguments(cfg))
        learner.encode_in_chunks(cfg.TRAINER.TEXT_CHUNK, cfg.TRAINER.TEXT_MEMORY)
        return learner

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """The constructor's arguments as a config gives them; the only place that reads the config."""
        return {"context_init": cfg.TRAINER.LAMM.CTX_INIT}

    def _split(self, context: str, reserved: int = 0) -> list[PromptTokens]:
        """Each class's prompt in its parts; `reserved` positions stay free for vectors without words."""
        text = self.clip.text
        return [
            split_prompt(self.clip.tokenizer, context, name, text.context_length, reserved) for name in self.class_names
        ]

    # The prompt: context → prefix, names → labels.

    def context(self, image: Tensor | None = None) -> Tensor:
        """The context vectors, here the embeddings of the fixed words. Shape: (G, C, D)

        Args:
            image: unit image features (B, E), for learners whose context depends on them. None asks for the context
                without an image.
        """
        return self.words[None]

    def fixed_context(self) -> Tensor | None:
        """The context vectors where they never change, as words do: their prefix is made once. Shape: (C, D)"""
        return self.words if type(self).context is PromptLearner.context else None

    def prefix(self, image: Tensor | None = None) -> Tensor:
        """The context side: what stands before every class's label side. Shape: (G, P, D)"""
        return self.layout.prefix(self.context(image))

    def labels(self) -> LabelSide:
        """The label side, here with the original class names: (N, T, D), and the places of the end tokens, (N,)."""
        no_vectors = self.words.new_empty(0, self.words.shape[1])
        return self.layout.labels(self.context(), no_vectors)

    def deep_prompts(self) -> Sequence[Tensor]:
        """Context of the text tower's blocks after the first, (C, D) each; see `TextTower.transform`."""
        return ()

    # Encoding.

    def encode(self, prefix: Tensor, labels: LabelSide, deep: Sequence[Tensor] = ()) -> Tensor:
        """Unit text features in fp32. Shape: (G, N, E)"""
        with self.clip.autocast():
            features = self.text_encoder.encode(prefix, labels.embeddings, labels.end, deep, labels.packing)
        return F.normalize(features.float(), dim=-1)

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features ψ(z) of the current prompts, fp32. Shape: (G, N, E)

        Args:
            image: unit image features (B, E); used where the prompts are `per_image`.
        """
        return self.encode(self.prefix(image), self.labels(), self.deep_prompts())

    @torch.no_grad()
    def hand_written_features(self) -> Tensor:
        """Unit features of the original names behind `teacher_words`, by CLIP as it is. Shape: (1, N, E)"""
        layout = lay_out(self.clip, self._split(self.teacher_words()), n_ctx=0).to(self.words.device)
        nothing = self.words.new_empty(0, self.words.shape[1])
        return self.encode(layout.prefix(nothing[None]), layout.labels(nothing[None], nothing))

    def teacher_words(self) -> str:
        """The words before the class name in a teacher's prompts: those of the context, or the usual ones."""
        return self.context_words or (DEFAULT_CONTEXT if self._learns_context else "")

    def encode_in_chunks(self, prompts: int, memory: float = 0) -> None:
        """Bound what training takes for many classes.

        Args:
            prompts: encoded at a time; 0: all at once where they fit the memory.
            memory: of what is kept for the backward pass, in MiB; what does not fit is encoded again there. 0: half of
                what is free.

        Raises:
            ConfigError: a negative number.
        """
        for key, value in (("TEXT_CHUNK", prompts), ("TEXT_MEMORY", memory)):
            if value < 0:
                raise ConfigError(f"TRAINER.{key} must be 0 or above, got {value}")
        self.text_encoder.chunks = Chunks(prompts, memory)

    def encode_with(self, encoder: TextEncoder) -> None:
        """Replace the text encoder, for example by the plain one, to compare with it."""
        encoder.chunks = self.text_encoder.chunks
        self.text_encoder = encoder

    # Training.

    def loss_parts(
        self, text: Tensor, image: Tensor, logits: Tensor, labels: Tensor, shots: float, earlier: Sequence[Any] = ()
    ) -> dict[str, Tensor]:
        """The parts whose sum is the loss, by the name they are printed under; here the cross-entropy.

        Args:
            text: unit features of the learned prompts, (G, N, E).
            image: unit image features, (B, E).
            logits: the learned scores cos(I, ψ(z)) / τ, (B, N); with `earlier` learners, their classes' scores follow.
            labels: (B,).
            shots: n, training images per class.
            earlier: learners of classes that were learned before, whose scores are in `logits` too.
        """
        return {"loss_ce": F.cross_entropy(logits, labels)}

    # Checkpoints.

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside the learned tensors."""
        prompt = {"words": self.context_words, **self.layout_options}
        return {**super().get_extra_state(), "width": self.clip.text.width, "prompt": prompt}


def lay_out(
    clip: ClipModel, prompts: Sequence[PromptTokens], fixed_context: Tensor | None = None, **options: Any
) -> PromptLayout:
    """Prompts laid out for a CLIP model; `options` are arguments of `plan_prompts`."""
    plan = plan_prompts(prompts, clip.tokenizer.start, clip.tokenizer.end, **options)
    return PromptLayout(plan, clip.text.token_embedding, clip.tokenizer.end, fixed_context)


def embed(clip: ClipModel, tokens: Sequence[int]) -> Tensor:
    """CLIP's token embeddings in fp32. Shape: (len(tokens), D)"""
    table = clip.text.token_embedding
    with torch.no_grad():
        return table(torch.tensor(list(tokens), dtype=torch.long, device=table.weight.device)).float()
