"""Which checkpoint of a run is meant, and what is in it.

A run keeps `<folder>/model.pth.tar-<epochs done>`, `<folder>/model-best.pth.tar` where the best model on the
validation images is wanted, and `<folder>/checkpoint`, which names the file written last.
"""

import os
from typing import Any

from lamm.engine import load_checkpoint
from lamm.errors import CheckpointError

BEST_MODEL = "model-best.pth.tar"
POINTER = "checkpoint"


class MissingCheckpoint(CheckpointError, FileNotFoundError):
    """No checkpoint where one was expected."""


def checkpoint_file(folder: str, epoch: int | None) -> str:
    """The file of an epoch; without one `model-best.pth.tar` if there, else the file that `checkpoint` names.

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
        CheckpointError: the file is missing, damaged, or no trainer's.
    """
    checkpoint = load_checkpoint(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointError(f"{path} is no checkpoint of a trainer: it has no state_dict")
    return checkpoint


def _pointed(folder: str) -> str | None:
    """The file that `checkpoint` names."""
    pointer = os.path.join(folder, POINTER)
    if not os.path.exists(pointer):
        return None
    with open(pointer, encoding="utf-8") as file:
        return os.path.join(folder, os.path.basename(file.readline().strip()))
