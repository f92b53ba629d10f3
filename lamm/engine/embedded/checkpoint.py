"""Checkpoint files: `<folder>/model.pth.tar-<epochs done>`, and `<folder>/checkpoint` that names the newest.

A file holds `state_dict`, `epoch` (epochs done), `optimizer`, `scheduler` and `val_result` (of the best model), and,
so that a resumed run continues exactly, `best_result`, `rng_state` and, if there is one, `scaler`. All of it is plain
data. Files are written to a temporary name and renamed.
"""

import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamm.engine.embedded.legacy_checkpoint import load_legacy_checkpoint
from lamm.engine.embedded.plain_state import plain_state
from lamm.engine.embedded.trainer_errors import CheckpointMismatchError, MissingCheckpointError
from lamm.errors import CheckpointError
from lamm.files import atomic_path, write_text

BEST_MODEL = "model-best.pth.tar"
POINTER = "checkpoint"


def model_file(epoch: int | None) -> str:
    """The file name of the model after `epoch` epochs; None: of the best one."""
    return BEST_MODEL if epoch is None else f"model.pth.tar-{epoch}"


def save_checkpoint(
    state: Mapping[str, Any],
    save_dir: str | os.PathLike[str],
    is_best: bool = False,
    remove_module_from_keys: bool = True,
    model_name: str = "",
) -> None:
    """Write a checkpoint and point the folder's `checkpoint` file at it.

    Args:
        state: `state_dict`, `epoch` and whatever else belongs to it.
        save_dir: The folder; made if missing.
        is_best: Also copy the file to `model-best.pth.tar`.
        remove_module_from_keys: Strip one leading `module.` from the keys of the weights.
        model_name: The file's name, in place of `model.pth.tar-<epoch>`.
    """
    saved = {key: plain_state(value, key) for key, value in state.items()}
    if remove_module_from_keys:
        saved["state_dict"] = _without_module(saved["state_dict"])
    path = os.path.join(save_dir, model_name or model_file(saved["epoch"]))
    with atomic_path(path) as temporary:
        torch.save(saved, temporary)
    print(f"Checkpoint saved to {path}")
    write_text(os.path.join(save_dir, POINTER), os.path.basename(path) + "\n")
    if is_best:
        with atomic_path(os.path.join(save_dir, BEST_MODEL)) as temporary:
            shutil.copyfile(path, temporary)


def _without_module(weights: Mapping[str, Any]) -> "OrderedDict[str, Any]":
    return OrderedDict((key.removeprefix("module."), value) for key, value in weights.items())


def load_checkpoint(fpath: str | os.PathLike[str] | None) -> Any:
    """Read a checkpoint as plain data; tensors go to the CPU when there is no CUDA device.

    Raises:
        ValueError: No path.
        MissingCheckpointError: No such file (also a FileNotFoundError).
        CheckpointError: A file that is damaged or no checkpoint.
    """
    if fpath is None:
        raise ValueError("File path is None")
    path = Path(os.path.abspath(os.path.expanduser(fpath)))
    if not path.is_file():
        raise MissingCheckpointError(f'File is not found at "{path}"')
    location = None if torch.cuda.is_available() else "cpu"
    try:
        try:
            return torch.load(path, map_location=location, weights_only=True)
        except pickle.UnpicklingError:
            return load_legacy_checkpoint(path, map_location=location)
    except Exception as error:
        print(f'Unable to load checkpoint from "{fpath}"')
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CheckpointError(
            f'can\'t read checkpoint "{fpath}": {reason}; the file is damaged or no checkpoint'
        ) from error


def pointed_checkpoint(fdir: str | os.PathLike[str]) -> str:
    """The path of the file that the folder's `checkpoint` file names.

    Raises:
        MissingCheckpointError: A folder without that file, or with an empty one (also a FileNotFoundError).
    """
    pointer = Path(fdir) / POINTER
    lines = pointer.read_text(encoding="utf-8").splitlines() if pointer.is_file() else []
    if not lines or not lines[0].strip():
        raise MissingCheckpointError(
            f'no file "{POINTER}" in {fdir} naming the checkpoint to resume; remove the folder to train from scratch'
        )
    return os.path.join(fdir, lines[0].strip())


def resume_from_checkpoint(
    fdir: str | os.PathLike[str], model: nn.Module, optimizer: Any = None, scheduler: Any = None
) -> int:
    """Restore model, optimiser and scheduler from a folder's newest checkpoint; the number of epochs done.

    Raises:
        CheckpointError: A checkpoint that is missing, damaged, or does not fit the model.
    """
    path = pointed_checkpoint(fdir)
    print(f'Loading checkpoint from "{path}"')
    return restore_checkpoint(load_checkpoint(path), path, model, optimizer, scheduler)


def restore_checkpoint(
    checkpoint: Any, path: str, model: nn.Module, optimizer: Any = None, scheduler: Any = None
) -> int:
    """Put what `load_checkpoint(path)` gave into model, optimiser and scheduler; the number of epochs done."""
    load_weights(model, checkpoint, path, strict=True)
    print("Loaded model weights")
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
        if part is not None and checkpoint.get(name) is not None:
            try:
                part.load_state_dict(checkpoint[name])
            except (KeyError, TypeError, ValueError) as error:
                raise CheckpointError(f'the {name} of "{path}" does not fit this run\'s: {error}') from error
            print(f"Loaded {name}")
    epoch = int(checkpoint.get("epoch", 0))
    print(f"Previous epoch: {epoch}")
    return epoch


def load_weights(model: nn.Module, checkpoint: Any, path: str, strict: bool = True) -> None:
    """Load the `state_dict` of a checkpoint.

    Raises:
        CheckpointError: No `state_dict` in the file.
        CheckpointMismatchError: Names or shapes that don't fit the model (also a RuntimeError).
    """
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint:
        raise CheckpointError(f'"{path}" is no checkpoint of a trainer: it has no "state_dict"')
    try:
        model.load_state_dict(checkpoint["state_dict"], strict=strict)
    except RuntimeError as error:
        details = " ".join(str(error).split())
        raise CheckpointMismatchError(f'the weights of "{path}" do not fit the model: {details}') from error
