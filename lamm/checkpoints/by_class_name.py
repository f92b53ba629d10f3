"""Learned tensors from a run's checkpoint into a learner, also onto another class list, by class name.

A run keeps `<folder>/model.pth.tar-<epochs done>`, `<folder>/model-best.pth.tar` where the best model on the validation
images is wanted, and `<folder>/checkpoint`, which names the file written last.
"""

import os
from typing import Any

import torch
from torch import Tensor

from lamm.checkpoints.label_bank import LabelBank, match_by_name
from lamm.checkpoints.original_code import (
    LABELS,
    Learner,
    is_original,
    listed,
    log_taken,
    read_original,
    require_fit,
    trainer_of,
    without_fixed_words,
)
from lamm.engine import load_checkpoint
from lamm.errors import CheckpointError
from lamm.log import logger

EXTRA = "_extra_state"
DEEP = {
    "proj.weight": ("MAPLE", ("compound_prompts_text.", "compound_prompt_projections.")),
    "image_prompts.0": ("PROMPTSRC", ("text_prompts.", "image_prompts.")),
}
"""A tensor that tells a method → its config node, and how the names of tensors begin of which each layer has one."""
LONGEST = 4000
"""Characters of a value that a checkpoint holds."""
CUT = 199
"""Characters that earlier versions kept of a template."""
BEST_MODEL = "model-best.pth.tar"
POINTER = "checkpoint"


class MissingCheckpoint(CheckpointError, FileNotFoundError):
    """No checkpoint where one was expected."""


def checkpoint_file(folder: str, epoch: int | None) -> str:
    """The file of an epoch; without one `model-best.pth.tar` if it is there, else the file that `checkpoint` names.

    Args:
        folder: of the checkpoints.
        epoch: epochs done, or None.

    Raises:
        MissingCheckpoint: there is no such file.
    """
    path = os.path.join(folder, BEST_MODEL if epoch is None else f"model.pth.tar-{epoch}")
    if epoch is None and not os.path.exists(path):
        path = _pointed(folder) or path
    if not os.path.exists(path):
        raise MissingCheckpoint(f'Model not found at "{path}"; --model-dir must be the output folder of a training run')
    return path


def final_checkpoint(folder: str, final_model: str) -> str | None:
    """The file of the model that a run tests at its end; None: the run has written none yet.

    Args:
        folder: of the checkpoints.
        final_model: `TEST.FINAL_MODEL`: `last_step` or `best_val`.
    """
    best = os.path.join(folder, BEST_MODEL)
    path = best if final_model == "best_val" and os.path.exists(best) else _pointed(folder)
    return path if path is not None and os.path.exists(path) else None


def read_checkpoint(path: str) -> dict[str, Any]:
    """A checkpoint with its `state_dict`.

    Raises:
        CheckpointError: the file is missing or damaged, or is not a trainer's.
    """
    checkpoint = load_checkpoint(path)
    if "state_dict" not in checkpoint:
        raise CheckpointError(f"{path} is not a checkpoint of a trainer: it has no state_dict")
    return checkpoint


def _pointed(folder: str) -> str | None:
    """The file that `checkpoint` names."""
    pointer = os.path.join(folder, POINTER)
    if not os.path.exists(pointer):
        return None
    with open(pointer, encoding="utf-8", errors="replace") as file:
        return os.path.join(folder, os.path.basename(file.readline().strip()))


def load_learned(learner: Learner, state: dict[str, Any], path: str) -> int | None:
    """Load a `state_dict` that a learner of the same method saved, ours or that of the original code.

    Where the class list is another one, labels go by class name: a known class gets its learned vectors, an unknown
    one CLIP's own plus what the learned ones have in common (`UNSEEN_LABELS`), and the log says how many of each.

    Args:
        learner: what is loaded into.
        state: the checkpoint's `state_dict`.
        path: the file, for messages.

    Returns:
        How many classes have a label from the checkpoint; None: the learner has no labels.

    Raises:
        CheckpointError: the file is of another backbone, method or setting.
    """
    original = without_fixed_words(read_original(state, path), learner) if is_original(state) else None
    state = dict(state) if original is None else dict(original.learned)
    extra = state.pop(EXTRA, {})
    _require_plausible(state, extra, path)
    backbone = extra.get("backbone", learner.clip.name)
    if backbone != learner.clip.name:
        raise CheckpointError(f"{path} was trained with backbone {backbone}, this run uses {learner.clip.name}")
    learner.make_room_for(state)
    own = {name: value for name, value in learner.state_dict().items() if name != EXTRA}
    _require_same_method(state, own, path)
    _require_same_widths(state, own, learner.clip.name, path)
    if original is not None:
        require_fit(original, learner, path)
    _require_same_depth(state, own, path)
    tokens, alignment = extra.get("label_tokens"), getattr(learner, "alignment", None)
    if tokens is not None and alignment is not None and tokens != alignment.label_tokens:
        raise CheckpointError(
            f'{path} was trained with LABEL_TOKENS "{tokens}", this run has "{alignment.label_tokens}": use the same'
        )
    names = extra.get("class_names", learner.class_names)
    if names != learner.class_names:
        fit = learner.for_other_classes(state, names)
        if fit is None:
            raise CheckpointError(
                f"{path} holds a part for each class ({', '.join(learner.per_class_tensors())}) of another class list: "
                "test it on the classes that it was trained on"
            )
        state = fit
    known = len(learner.class_names) if LABELS in own else None
    if names != learner.class_names and LABELS in own:
        state[LABELS], known = _labels_by_name(learner, state[LABELS], names, extra, path)
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise CheckpointError(
                f'{path}: "{name}" is {tuple(value.shape)}, this learner takes {tuple(own[name].shape)}: '
                f"use {_what_sets_the_shape(name, value, own[name])} of the training run"
            )
    _require_same_prompt(learner, extra, path)
    with torch.no_grad():
        for name, value in own.items():  # the very tensors of the learner, buffers too
            value.copy_(state[name])
    if original is not None:
        log_taken(original, learner, path)
    return known


def _require_plausible(state: dict[str, Any], extra: Any, path: str) -> None:
    """Every tensor has finite numbers, and what the file says of itself is of the right kind."""
    for name, value in state.items():
        if not (torch.is_tensor(value) and value.is_floating_point()):
            raise CheckpointError(f'{path} is damaged: its "{name}" is not a tensor of floating-point numbers')
        if not value.isfinite().all():
            raise CheckpointError(
                f'{path} holds numbers that are not finite in "{name}": its training diverged, so it is not used'
            )
    kinds = {"backbone": str, "label_tokens": str, "class_names": list, "label_counts": list, "prompt": dict}
    fits = isinstance(extra, dict) and all(isinstance(extra.get(key, kind()), kind) for key, kind in kinds.items())
    if fits:
        plain = (str, int, float, type(None))
        fits = all(
            isinstance(value, plain) and len(str(value)) <= LONGEST for value in extra.get("prompt", {}).values()
        )
        fits &= len(extra.get("backbone", "")) < 200
    if fits and "class_names" in extra:
        names = extra["class_names"]
        fits = all(isinstance(name, str) for name in names)
        if LABELS in state:
            counts = extra.get("label_counts", [1] * len(names))
            fits &= all(type(count) is int and count > 0 for count in counts) and len(counts) == len(names)
            fits = fits and state[LABELS].ndim == 2 and sum(counts) == len(state[LABELS])
    if not fits:
        raise CheckpointError(f"{path} is damaged: what it says of its classes and prompt is not of the right kind")


def _require_same_method(state: dict[str, Any], own: dict[str, Tensor], path: str) -> None:
    """The same names, whatever the depth of the prompts."""
    counted = tuple(start for key, (_, starts) in DEEP.items() if key in own for start in starts)
    saved, expected = (
        {name for name in names if name in DEEP or not name.startswith(counted)} for names in (state, own)
    )
    if saved != expected:
        trainer = trainer_of(state)
        advice = f"; use --trainer {trainer}" if trainer and trainer != trainer_of(own) else ""
        if trainer == trainer_of(own) == "TopLAMM":
            advice = "; use TRAINER.TOPLAMM.TUNE and TRAINER.TOPLAMM.BLOCKS of the training run"
        raise CheckpointError(
            f"{path} holds {listed(state)}, but this learner has {listed(own)}: it was made by another method{advice}"
        )


def _require_same_widths(state: dict[str, Any], own: dict[str, Tensor], backbone: str, path: str) -> None:
    """The sizes that the backbone alone sets: all of a linear layer's, the last one of vectors. RanPAC sets its own."""
    for name in sorted(state.keys() & own.keys()):
        sizes = slice(None) if name.endswith((".weight", ".bias")) else slice(-1, None)
        if name.endswith(".up"):
            sizes = slice(-2, -1)  # the last size is the rank
        saved, expected = tuple(state[name].shape[sizes]), tuple(own[name].shape[sizes])
        if saved != expected and name == "gram":
            raise CheckpointError(
                f"{path} was trained with PROJECTION {_product(saved)}, this run has PROJECTION {_product(expected)}: "
                f"set TRAINER.RANPAC.PROJECTION to {_product(saved)}"
            )
        if saved != expected:
            raise CheckpointError(
                f'{path} was trained with another backbone: "{name}" is {_product(saved)} wide, {backbone} takes '
                f"{_product(expected)}; set MODEL.BACKBONE.NAME to the backbone of the training run"
            )


def _product(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes) or "0"


def _require_same_depth(state: dict[str, Any], own: dict[str, Tensor], path: str) -> None:
    for node, (of_text, _) in (DEEP[key] for key in DEEP.keys() & own.keys()):
        saved, expected = (1 + sum(name.startswith(of_text) for name in names) for names in (state, own))
        if saved != expected:
            raise CheckpointError(
                f"{path} was trained with PROMPT_DEPTH {saved}, this run has PROMPT_DEPTH {expected}: "
                f"set TRAINER.{node}.PROMPT_DEPTH to {saved}"
            )
    if unpaired := set(own) ^ set(state):
        raise CheckpointError(f"{path} is damaged: the prompts of its layers don't pair up ({listed(unpaired)})")


def _what_sets_the_shape(name: str, value: Tensor, own: Tensor) -> str:
    """The setting that made a tensor another size."""
    if name == LABELS:
        return "the settings and class list"
    if name.endswith((".down", ".up")):
        return "the RANK"
    if value.ndim != own.ndim:
        return "the CSC setting"
    return "the N_CTX and CTX_INIT" if value.shape[:-2] == own.shape[:-2] else "the class list"


def _require_same_prompt(learner: Learner, extra: dict[str, Any], path: str) -> None:
    """The same words, number of vectors and class position; files that don't say theirs are taken."""
    own = learner.get_extra_state().get("prompt", {})
    saved = extra.get("prompt", own)
    saved = {key: own[key] if _is_cut(text, own.get(key)) else text for key, text in saved.items()}
    if saved != own:
        differing = [
            f"{key} {saved.get(key)!r} (this run: {own.get(key)!r})" for key in own if saved.get(key) != own[key]
        ]
        raise CheckpointError(f"{path} was trained with another prompt: {', '.join(differing)}; use the same settings")


def _is_cut(saved: Any, own: Any) -> bool:
    """Whether a text is the beginning of a longer one, as far as earlier versions kept it."""
    return isinstance(saved, str) and isinstance(own, str) and len(saved) == CUT and own.startswith(saved)


def _labels_by_name(
    learner: Any, vectors: Tensor, names: list[str], extra: dict[str, Any], path: str
) -> tuple[Tensor, int]:
    """The label vectors of the learner's classes, and of how many classes they were learned."""
    counts = extra.get("label_counts", [1] * len(names))
    if vectors.ndim != 2 or vectors.shape[1] != learner.label_embeddings.shape[1]:
        raise CheckpointError(f"{path}: its labels are {tuple(vectors.shape)}; they belong to another backbone")
    if extra.get("label_tokens") == "released" and set(counts) != set(learner.label_counts):
        raise CheckpointError(
            f"{path} has {counts[0]} label vectors per class, this class list takes {learner.label_counts[0]}: "
            'LABEL_TOKENS "released" takes as many as the shortest class name has sub-tokens; '
            f"test it on classes where that is {counts[0]}"
        )
    bank = LabelBank(names, counts, vectors, learner.clip.name)
    matched = match_by_name(bank, learner.class_names, learner.label_counts)
    vectors = learner.initial_embeddings.detach().clone()
    if len(matched) < len(learner.class_names):
        vectors += learner.shifts_of_unseen(bank)
    places = list(vectors.split(learner.label_counts))
    for place, label in matched.items():
        places[place] = label.to(places[place])
    logger.info(
        "Labels matched by class name: %d learned, %d unknown to the checkpoint start from CLIP's own",
        len(matched),
        len(places) - len(matched),
    )
    return torch.cat(places), len(matched)
