"""Learned tensors from a checkpoint into a learner, also onto another class list."""

from typing import Any

import torch
from torch import Tensor

from lamm.errors import CheckpointError
from lamm.label_bank import LabelBank, match_by_name
from lamm.log import logger

from .prompt_learner import PromptLearner

EXTRA = "_extra_state"
LABELS = "label_embeddings"


def load_learned(learner: PromptLearner, state: dict[str, Any], path: str) -> None:
    """Load a `state_dict` that a learner of the same method saved.

    Where the class list is another one, labels go by class name: a known class gets its learned vectors, an unknown
    one keeps CLIP's own, and the log says how many of each.

    Args:
        learner: what is loaded into.
        state: the checkpoint's `state_dict`.
        path: the file, for messages.

    Raises:
        CheckpointError: the file is of another backbone, method or setting.
    """
    state = dict(state)
    extra = state.pop(EXTRA, {})
    _require_same_backbone(learner, extra, path)
    own = {name: value for name, value in learner.state_dict().items() if name != EXTRA}
    if set(state) != set(own):
        raise CheckpointError(
            f"{path} holds {_listed(state)}, but this learner has {_listed(own)}: it was made by another method"
        )
    _require_same_label_tokens(learner, extra, path)
    names = extra.get("class_names", learner.class_names)
    if names != learner.class_names and learner.per_class_tensors():
        raise CheckpointError(
            f"{path} holds class-specific context ({', '.join(learner.per_class_tensors())}) of another class list: "
            "test it on the classes that it was trained on"
        )
    if names != learner.class_names and LABELS in own:
        state[LABELS] = _labels_by_name(learner, state[LABELS], names, extra, path)
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise CheckpointError(
                f'{path}: "{name}" is {tuple(value.shape)}, this learner takes {tuple(own[name].shape)}: '
                "use the settings and class list of the training run"
            )
    with torch.no_grad():
        for name, parameter in learner.named_parameters():
            parameter.copy_(state[name])


def _require_same_backbone(learner: PromptLearner, extra: dict[str, Any], path: str) -> None:
    backbone = extra.get("backbone", learner.clip.name)
    if backbone != learner.clip.name:
        raise CheckpointError(f"{path} was trained with backbone {backbone}, this run uses {learner.clip.name}")


def _require_same_label_tokens(learner: Any, extra: dict[str, Any], path: str) -> None:
    stored = extra.get("label_tokens")
    alignment = getattr(learner, "alignment", None)
    if stored is not None and alignment is not None and alignment.enabled and stored != alignment.label_tokens:
        raise CheckpointError(
            f'{path} was trained with LABEL_TOKENS "{stored}", this run has "{alignment.label_tokens}": use the same'
        )


def _labels_by_name(learner: Any, vectors: Tensor, names: list[str], extra: dict[str, Any], path: str) -> Tensor:
    counts = extra.get("label_counts", [1] * len(names))
    if vectors.ndim != 2 or vectors.shape[1] != learner.label_embeddings.shape[1]:
        raise CheckpointError(f"{path}: its labels are {tuple(vectors.shape)}; they belong to another backbone")
    bank = LabelBank(names, counts, vectors, learner.clip.name)
    matched = match_by_name(bank, learner.class_names, learner.label_counts)
    places = list(learner.initial_embeddings.detach().clone().split(learner.label_counts))
    for place, label in matched.items():
        places[place] = label.to(places[place])
    logger.info(
        "Labels matched by class name: %d learned, %d unknown to the checkpoint keep CLIP's own",
        len(matched),
        len(places) - len(matched),
    )
    return torch.cat(places)


def _listed(state: dict[str, Any]) -> str:
    return ", ".join(sorted(state)) or "nothing"
