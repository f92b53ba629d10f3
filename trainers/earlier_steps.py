"""What a step of class-incremental learning takes from those before it: their labels, bit for bit, and context."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lamm.errors import CheckpointError
from lamm.label_bank import FILE_NAME as LABEL_FILE
from lamm.label_bank import LabelBank
from lamm.log import logger

from .checkpoint_files import final_checkpoint, read_checkpoint
from .checkpoints import EXTRA, load_learned
from .original_checkpoints import LABELS


def continue_from(folder: Path, learner: Any, final_model: str) -> None:
    """Load what a step has learned beside its labels; those of this step's classes keep the values they start from.

    Args:
        folder: of the step's checkpoints.
        learner: of this step's classes.
        final_model: `cfg.TEST.FINAL_MODEL`, which says what checkpoint the step has left.

    Raises:
        CheckpointError: the step has left none.
    """
    path = final_checkpoint(str(folder), final_model)
    if path is None:
        raise CheckpointError(f"{folder} has no checkpoint to continue from: run that step first")
    state = dict(read_checkpoint(path)["state_dict"])
    if LABELS in state and hasattr(learner, LABELS):
        state[LABELS] = learner.label_embeddings.detach().clone()
    own = {key: value for key, value in learner.get_extra_state().items() if key in ("class_names", "label_counts")}
    load_learned(learner, {**state, EXTRA: {**state.get(EXTRA, {}), **own}}, path)
    logger.info('Continuing from "%s" with %d new classes', path, len(learner.class_names))


def earlier_learner(trainer: Any, class_names: Sequence[str], folder: Path) -> Any:
    """The prompts of an earlier step's classes; the random generator is where it was.

    Args:
        trainer: a `PromptTrainer`, whose learner's context they share.
        class_names: of that step.
        folder: of that step, where its labels are.

    Raises:
        CheckpointError: its labels are missing, or don't fit.
    """
    with torch.random.fork_rng(devices=[]):
        learner = trainer.build_learner(trainer.clip, class_names).eval()
    share_context(learner, trainer.learner)
    if hasattr(learner, LABELS):
        freeze_labels(learner, LabelBank.load(folder / LABEL_FILE))
    return learner


def share_context(learner: Any, other: Any) -> None:
    """Give a learner what another one learns beside its labels: the very same tensors, not copies."""
    for name, parameter in list(other.named_parameters(recurse=False)):
        if name != LABELS:
            setattr(learner, name, parameter)
    for name, module in list(other.named_children()):
        if next(module.parameters(), None) is not None:
            setattr(learner, name, module)


def freeze_labels(learner: Any, bank: LabelBank) -> None:
    """Make a learner's labels a buffer with the vectors of a label file, bit for bit.

    Raises:
        CheckpointError: the file is of other classes, or of another backbone.
    """
    held, taken = ((one.class_names, one.counts, one.backbone) for one in (bank, learner.label_bank()))
    if held != taken:
        raise CheckpointError(
            f"{LABEL_FILE} of an earlier step ({len(bank.class_names)} labels for {bank.backbone}) does not fit its "
            f"{len(learner.class_names)} classes: remove that step and run it again"
        )
    device = learner.label_embeddings.device
    del learner.label_embeddings
    learner.register_buffer(LABELS, bank.embeddings.to(device), persistent=False)
