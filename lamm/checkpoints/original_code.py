"""Checkpoints that the original CoOp, CoCoOp, MaPLe and LAMM code wrote, as states of our learners.

Such a file holds the learned tensors, often in fp16, next to buffers, and for MaPLe the whole frozen CLIP. It knows
neither its classes by name nor its backbone, so both are checked by what the tensors tell.

Letters: N classes, m label vectors per class, V = N · m, D width.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from lamm.clip.model import ClipModel
from lamm.errors import CheckpointError
from lamm.log import logger
from lamm.prompts import PromptTokens

LABELS = "label_embeddings"
ORIGINAL_LABELS = "token_classes"
LEARNER = "prompt_learner."
BUFFERS = ("token_prefix", "token_suffix", "token_suffix_test", "fix_token")
LINEAR = r"(weight|bias)"
LEARNED = re.compile(
    rf"ctx|{ORIGINAL_LABELS}|proj\.{LINEAR}|meta_net\.linear[12]\.{LINEAR}"
    rf"|compound_prompts_text\.\d+|compound_prompt_projections\.\d+\.{LINEAR}"
)
# Relative distance between a token's embedding and the same in fp16 is below 0.001; between two models it is near 1.
SAME_MODEL = 0.01


class Learner(Protocol):
    """What a checkpoint's tensors are loaded into: a prompt learner, as `lamm_trainers.prompt_learner` has them."""

    class_names: list[str]
    prompts: list[PromptTokens]

    @property
    def clip(self) -> ClipModel:
        """The frozen CLIP model."""

    def per_class_tensors(self) -> tuple[str, ...]:
        """Names of the learned tensors, other than labels, that have a row for each class."""

    def for_other_classes(self, state: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor] | None:
        """A state of another class list, made fit for this one; None: it can't be."""

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside the learned tensors."""

    def make_room_for(self, state: dict[str, Any]) -> None:
        """Give what has a row per training image as many rows as it has in a state."""

    def state_dict(self) -> dict[str, Any]:
        """The learned tensors, by name."""

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """What is trained."""


@dataclass(frozen=True)
class OriginalState:
    """A state of the original code, taken apart.

    Attributes:
        learned: the learned tensors under our names, labels as (V, D); in fp16 as a rule.
        ignored: how many tensors are left out: buffers and CLIP's own weights.
        classes: N of the training run, where a tensor tells.
        start_token: embedding of the start token, (D,), where the file holds it.
    """

    learned: dict[str, Tensor]
    ignored: int
    classes: int | None = None
    start_token: Tensor | None = None


def trainer_of(names: Iterable[str]) -> str | None:
    """The trainer of ours that learns tensors of these names; None: there is none."""
    names = set(names)
    parts = {name.partition(".")[0] for name in names}
    head = "_GDA" if "head" in parts else ""
    if "image_tower" in parts:
        return "CLIPLoRA"
    if "top" in parts:
        return f"TopLAMM{head}"
    if head:
        return f"LAMM{head}" if LABELS in names else "GDA"
    kinds = {"MaPLe": "proj.weight", "PromptSRC": "image_prompts.0", "CoCoOp": "meta_net.linear1.weight", "CoOp": "ctx"}
    base = next((trainer for trainer, name in kinds.items() if name in names), None)
    if LABELS not in names:
        return base
    return f"{base}_LAMM" if base else "LAMM"


def listed(names: Iterable[str]) -> str:
    """The names in order, those that differ in a number alone as one."""
    return ", ".join(sorted({re.sub(r"\.\d+(?=\.|$)", ".*", name) for name in names})) or "nothing"


def is_original(state: dict[str, Any]) -> bool:
    """Whether a `state_dict` is not one that our learners saved: theirs say what they belong to."""
    return not {"_extra_state", LABELS} & set(state)


def read_original(state: dict[str, Any], path: str) -> OriginalState:
    """Take the `state_dict` of a checkpoint of the original code apart.

    Args:
        state: with or without a leading `module.`; a whole model has its learned tensors below `prompt_learner.`.
        path: the file, for messages.

    Raises:
        CheckpointError: it holds other things than the original code learns.
    """
    named = {name.removeprefix("module."): value for name, value in state.items()}
    inside = {name.removeprefix(LEARNER): value for name, value in named.items() if name.startswith(LEARNER)}
    inside = inside or named
    learned = {name: value for name, value in inside.items() if name not in BUFFERS}
    strange = [name for name, value in learned.items() if not (LEARNED.fullmatch(name) and torch.is_tensor(value))]
    if strange or not learned:
        raise CheckpointError(
            f"{path} holds {listed(strange or inside)}, which neither our code nor that of CoOp, CoCoOp, MaPLe or LAMM "
            "learns: it was made by another method"
        )
    classes = _classes(inside)
    if ORIGINAL_LABELS in learned:
        labels = learned.pop(ORIGINAL_LABELS)
        learned[LABELS] = labels.flatten(0, -2) if labels.ndim > 2 else labels
    if len(named) > len(inside) and "proj.weight" not in learned:
        raise CheckpointError(
            f"{path} holds CLIP's towers next to {listed(learned)}, but not MaPLe's couplings (proj): it was made by "
            "another method, whose prompts inside the towers can't be loaded"
        )
    return OriginalState(learned, len(state) - len(learned), classes, _start_token(inside))


def _classes(inside: dict[str, Any]) -> int | None:
    """N: the buffers and class-specific tensors have a row for each class."""
    for name in (*BUFFERS[:2], ORIGINAL_LABELS, "ctx"):
        value = inside.get(name)
        if torch.is_tensor(value) and value.ndim == 3:
            return len(value)
    return None


def _start_token(inside: dict[str, Any]) -> Tensor | None:
    prefix = inside.get("token_prefix")
    if not torch.is_tensor(prefix) or not prefix.numel():
        return None
    return prefix.detach().reshape(-1, prefix.shape[-1])[0].float()


def without_fixed_words(original: OriginalState, learner: Any) -> OriginalState:
    """The state without `ctx` if that is the learner's fixed words: the authors' LAMM saves them beside its labels."""
    context, words = original.learned.get("ctx"), learner.words
    if context is None or "ctx" in learner.state_dict() or context.shape != words.shape:
        return original
    if (context.to(words) - words).norm() > SAME_MODEL * words.norm():
        return original
    learned = {name: value for name, value in original.learned.items() if name != "ctx"}
    return replace(original, learned=learned, ignored=original.ignored + 1)


def require_fit(original: OriginalState, learner: Any, path: str) -> None:
    """Check what our own files say by name, as far as the tensors of the original code tell it.

    Args:
        original: what the file holds.
        learner: what it is to be loaded into; it learns tensors of the same names.
        path: the file, for messages.

    Raises:
        CheckpointError: another backbone or class list, or `LABEL_TOKENS` other than `released`.
    """
    _require_same_start_token(original, learner, path)
    if LABELS in original.learned and learner.alignment.label_tokens != "released":
        raise CheckpointError(
            f'{path} holds {ORIGINAL_LABELS} of the original code, which belong to LABEL_TOKENS "released"; '
            f'this run has "{learner.alignment.label_tokens}": use the config whose name ends in _released'
        )
    per_class = _per_class(original, learner)
    classes = len(learner.class_names)
    if per_class and original.classes not in (None, classes):
        raise CheckpointError(
            f"{path} was trained on {original.classes} classes, this run has {classes}: the original code saves no "
            f"class names, so {listed(per_class)} can only be loaded on the class list of the training run"
        )
    if LABELS in original.learned and original.learned[LABELS].shape[0] != len(learner.label_embeddings):
        raise CheckpointError(
            f"{path} holds {original.learned[LABELS].shape[0]} label vectors, this run takes "
            f"{len(learner.label_embeddings)}, {learner.label_counts[0]} for each of its {classes} classes (as many as "
            "the shortest class name has sub-tokens): use the class list of the training run"
        )


def log_taken(original: OriginalState, learner: Learner, path: str) -> None:
    """Say that a file of the original code was loaded, and what could not be checked."""
    logger.info(
        "%s is a checkpoint of the original code with the tensors of %s: %d taken, %d ignored",
        path,
        trainer_of(original.learned),
        len(original.learned),
        original.ignored,
    )
    if _per_class(original, learner):
        logger.info(
            "It has no class names, so they could not be checked: its %d classes must be this run's, in the same order",
            len(learner.class_names),
        )
    elsewhere = [prompt.name for prompt in learner.prompts if len(prompt.alone) != len(prompt.label)]
    if elsewhere and learner.get_extra_state()["prompt"].get("position", "end") != "end":
        logger.warning(
            "The original code moves only part of these names (their tokens by themselves are others than those in the "
            "prompt), so that their scores differ a little from its own: %s",
            ", ".join(elsewhere[:10]) + (" …" if len(elsewhere) > 10 else ""),
        )


def _per_class(original: OriginalState, learner: Learner) -> list[str]:
    return [name for name in original.learned if name == LABELS or name in learner.per_class_tensors()]


def _require_same_start_token(original: OriginalState, learner: Learner, path: str) -> None:
    if original.start_token is None:
        return
    own = learner.clip.text.token_embedding.weight[learner.clip.tokenizer.start].detach().float().cpu()
    saved = original.start_token.cpu()
    if saved.shape != own.shape or (saved - own).norm() > SAME_MODEL * own.norm():
        raise CheckpointError(
            f"{path} was trained with another backbone than {learner.clip.name}: the start token's embedding that it "
            "holds is another one; set MODEL.BACKBONE.NAME to the backbone of the training run"
        )
