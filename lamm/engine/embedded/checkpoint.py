"""Checkpoint files: `<folder>/model.pth.tar-<epochs done>`, and `<folder>/checkpoint` that names the newest.

A file holds `state_dict`, `epoch` (epochs done), `optimizer`, `scheduler` and `val_result` (of the best model), and,
so that a resumed run continues exactly, `best_result`, `rng_state` and, if there is one, `scaler`. All of it is plain
data. Files are written to a temporary name and renamed. Files of Dassl, which hold objects too, can be read: each
object becomes a dictionary of its state, and no code of its class runs.
"""

import io
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamm.errors import CheckpointError, LammError
from lamm.files import atomic_path, write_text
from lamm.log import logger
from lamm.torch_files import TorchFileError, read_torch_file

BEST_MODEL = "model-best.pth.tar"
POINTER = "checkpoint"
MOST = 2.0**53
"""No number in the state of an optimizer or a schedule is larger."""
DIVISORS = ("T_max", "step_size")
"""What a schedule divides by."""
MOMENTS = {"momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "square_avg", "grad_avg"}
"""What torch's optimizers keep for each parameter, of its shape."""


class MissingCheckpointError(CheckpointError, FileNotFoundError):
    """A checkpoint that is not where it should be."""


class CheckpointMismatchError(CheckpointError, RuntimeError):
    """A checkpoint whose tensors do not fit the model."""


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
        save_dir: The folder; created if missing.
        is_best: Also write it to `model-best.pth.tar`.
        remove_module_from_keys: Strip one leading `module.` from the keys of the weights.
        model_name: The file's name, in place of `model.pth.tar-<epoch>`.
    """
    saved = {key: plain_state(value, key) for key, value in state.items()}
    if remove_module_from_keys:
        weights = saved["state_dict"].items()
        saved["state_dict"] = OrderedDict((key.removeprefix("module."), value) for key, value in weights)
    name = model_name or model_file(saved["epoch"])
    # The best model comes first and the pointer last: a run that is killed before the epoch's own file goes on from an
    # earlier epoch and writes both again; after it, both are there.
    for file in (BEST_MODEL, name) if is_best else (name,):
        write_tensors(os.path.join(save_dir, file), saved)
    print(f"Checkpoint saved to {os.path.join(save_dir, name)}")
    write_text(os.path.join(save_dir, POINTER), f"{name}\n")


def write_tensors(path: str | os.PathLike[str], value: Any) -> None:
    """`torch.save` in one step; equal values give equal bytes, whatever the file's name.

    Raises:
        OSError: it can't be written; torch itself would raise something else.
    """
    content = io.BytesIO()
    torch.save(value, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(fpath: str | os.PathLike[str] | None) -> dict[Any, Any]:
    """Read a checkpoint as plain data, with its tensors on the CPU.

    Raises:
        ValueError: No path.
        MissingCheckpointError: No such file (also a FileNotFoundError).
        CheckpointError: A file that is damaged or not a checkpoint.
    """
    if fpath is None:
        raise ValueError("File path is None")
    path = Path(os.path.abspath(os.path.expanduser(fpath)))
    if not path.is_file():
        raise MissingCheckpointError(f'File is not found at "{path}"')
    try:
        content = read_torch_file(path, objects=True)
        if not isinstance(content, dict):
            raise TorchFileError(f"it holds a {type(content).__name__} where a dictionary is needed")
        if "state_dict" in content:
            _require_fields(content)
        return content
    except (TorchFileError, OSError) as error:
        print(f'Unable to load checkpoint from "{fpath}"')
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(
            f'can\'t read checkpoint "{fpath}": {reason}; the file is damaged or not a checkpoint'
        ) from error


def _require_fields(content: dict[Any, Any]) -> None:
    """Raises TorchFileError where the fields that every checkpoint has are not what they should be."""
    weights, epoch = content["state_dict"], content.get("epoch", 0)
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise TorchFileError("its state_dict is not a dictionary of names")
    if type(epoch) is not int or epoch < 0:
        raise TorchFileError("its epoch is not a number of epochs")
    for name in ("val_result", "best_result"):
        if not isinstance(content.get(name, 0.0), (int, float)):
            content[name] = None


class _NotPlain(Exception):
    """An object that is not data; the entry that holds it is left out."""


def plain_state(value: Any, name: str) -> Any:
    """Tensors, numbers, strings and containers of them; an object with a `state_dict()` is replaced by its state.

    A dictionary's entry that is none of these (a function, say) is left out, with a line in the log, in which `name`
    stands for the value.
    """
    return _converted({name: value}, "").get(name)


def _converted(value: Any, name: str) -> Any:
    plain = (Tensor, complex, bytes, torch.dtype, torch.device)
    if value is None or isinstance(value, plain) or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, Mapping):
        entries: dict[Any, Any] = OrderedDict() if isinstance(value, OrderedDict) else {}
        for key, item in value.items():
            entry = f"{name}.{key}" if name else str(key)
            try:
                entries[_converted(key, name)] = _converted(item, entry)
            except _NotPlain:
                kind = type(item).__name__
                logger.warning("Not saved in the checkpoint, because it is not data: %s (%s)", entry, kind)
        return entries
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_converted(item, name) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if hasattr(value, "state_dict"):
        return _converted(value.state_dict(), name)
    for base in (bool, int, float, str):  # subclasses, such as enumerations
        if isinstance(value, base):
            return base(value)
    raise _NotPlain


def pointed_checkpoint(fdir: str | os.PathLike[str]) -> str:
    """The path of the file that the folder's `checkpoint` file names.

    Raises:
        MissingCheckpointError: A folder without that file, or with an empty one (also a FileNotFoundError).
    """
    pointer = Path(fdir) / POINTER
    lines = pointer.read_text(encoding="utf-8", errors="replace").splitlines() if pointer.is_file() else []
    if not lines or not lines[0].strip():
        raise MissingCheckpointError(
            f'no file "{POINTER}" in {fdir} naming the checkpoint to resume; remove the folder to train from scratch'
        )
    return os.path.join(fdir, os.path.basename(lines[0].strip()))


def resume_from_checkpoint(
    fdir: str | os.PathLike[str], model: nn.Module, optimizer: Any = None, scheduler: Any = None
) -> int:
    """Restore model, optimizer and scheduler from a folder's newest checkpoint; the number of epochs done.

    Raises:
        CheckpointError: A checkpoint that is missing, damaged, or does not fit the model.
    """
    return int(restore(pointed_checkpoint(fdir), model, optimizer, scheduler).get("epoch", 0))


def checkpoints_to_resume(folders: Sequence[str]) -> list[str]:
    """The checkpoints that a run goes on from: of each folder the newest, all after the same number of epochs.

    A run can be killed before a folder's first file, before the pointer to it, or between the files of two folders.

    Returns:
        Paths in the order of the folders; empty if there is no number of epochs of which all folders have a file.
    """
    paths = [_newest(folder) for folder in folders]
    if len(paths) > 1 and all(paths):
        epochs = [int(load_checkpoint(path).get("epoch", 0)) for path in paths]
        for place, epoch in enumerate(epochs):
            if epoch > min(epochs):
                path = os.path.join(folders[place], model_file(min(epochs)))
                paths[place] = path if os.path.isfile(path) else ""
    return paths if all(paths) else []


def _newest(folder: str) -> str:
    """The file that a folder's pointer names, else that of the most epochs; empty if there is none."""
    with suppress(MissingCheckpointError):
        if os.path.isfile(pointed := pointed_checkpoint(folder)):
            return pointed
    numbered = [match for name in os.listdir(folder) if (match := re.fullmatch(r"model\.pth\.tar-(\d+)", name))]
    newest = max(numbered, key=lambda match: int(match[1]), default=None)
    return "" if newest is None else os.path.join(folder, newest[0])


def restore(path: str, model: nn.Module, optimizer: Any, scheduler: Any) -> dict[str, Any]:
    """What `resume_from_checkpoint` does, from a given file; the whole checkpoint."""
    print(f'Loading checkpoint from "{path}"')
    checkpoint = load_checkpoint(path)
    load_weights(model, checkpoint, path)
    print("Loaded model weights")
    if optimizer is not None and checkpoint.get("optimizer") is not None:
        with misfit_as_error("optimizer", path):
            optimizer.load_state_dict(_optimizer_state(optimizer, checkpoint["optimizer"]))
        print("Loaded optimizer")
    if scheduler is not None and checkpoint.get("scheduler") is not None:
        with misfit_as_error("scheduler", path):
            scheduler.load_state_dict(_like(scheduler.state_dict(), checkpoint["scheduler"]))
        print("Loaded scheduler")
    print(f"Previous epoch: {checkpoint.get('epoch', 0)}")
    return checkpoint


@contextmanager
def misfit_as_error(name: str, path: str) -> Iterator[None]:
    """Turn what a part of a checkpoint trips over, whatever it is, into a CheckpointError of one line."""
    try:
        yield
    except LammError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(f'the {name} of "{path}" does not fit this run\'s: {reason}') from error


def _like(own: Any, other: Any) -> Any:
    """`other`, without entries that `own` lacks: a state that is loaded as it is could replace a method by a number.

    Raises:
        ValueError: a value of another kind.
    """
    if isinstance(own, Mapping) and isinstance(other, Mapping):
        named = own and all(isinstance(key, str) for key in own)
        if any(key in DIVISORS and not other[key] > 0 for key in own.keys() & other.keys()):
            raise ValueError(f"{' or '.join(DIVISORS)} is not above 0")
        return {key: _like(own[key], other[key]) for key in own if key in other} if named else other
    if isinstance(own, (list, tuple)) and isinstance(other, (list, tuple)) and len(own) == len(other):
        return type(own)(map(_like, own, other))
    numbers = isinstance(own, (int, float)) and isinstance(other, (int, float)) and abs(other) < MOST
    tensors = isinstance(own, Tensor) and isinstance(other, (int, float, Tensor))
    if numbers or tensors or type(own) is type(other) is str or (own is None and isinstance(other, (NoneType, bool))):
        return other
    raise ValueError(f"a {type(other).__name__} where a {type(own).__name__} is needed")


def _optimizer_state(optimizer: Any, state: Any) -> dict[str, Any]:
    """The state, if its groups have values of the optimizer's kinds, and its tensors the parameters' shapes."""
    own = optimizer.state_dict()
    groups = [
        {**group, **_like(group, other)}
        for group, other in zip(own["param_groups"], state["param_groups"], strict=True)
    ]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, entries in state["state"].items():
        for name in MOMENTS & entries.keys():
            value, shape = entries[name], parameters[number].shape
            if not (
                (isinstance(value, Tensor) and value.shape == shape) or (value is None and name == "momentum_buffer")
            ):
                raise ValueError(f"{name} of parameter {number} is not a tensor of the shape {tuple(shape)}")
    return {**state, "param_groups": groups}


def load_weights(model: nn.Module, checkpoint: Any, path: str) -> None:
    """Load the `state_dict` of a checkpoint; every name and shape has to fit.

    Raises:
        CheckpointError: No `state_dict` in the file.
        CheckpointMismatchError: Names or shapes that don't fit the model (also a RuntimeError).
    """
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint:
        raise CheckpointError(f'"{path}" is not a checkpoint of a trainer: it has no "state_dict"')
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except (RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        details = " ".join(str(error).split()[:60])[:400]
        raise CheckpointMismatchError(f'the weights of "{path}" do not fit the model: {details}') from error
