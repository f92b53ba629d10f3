"""Checkpoint files: `<folder>/model.pth.tar-<epochs done>`, and `<folder>/checkpoint` that names the newest.

A file holds `state_dict`, `epoch` (epochs done), `optimizer`, `scheduler` and `val_result` (of the best model), and,
so that a resumed run continues exactly, `best_result`, `rng_state` and, if there is one, `scaler`. All of it is plain
data. Files are written to a temporary name and renamed.
"""

import collections
import io
import os
import pickle
import shutil
import types
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamm.engine.embedded.registry import CheckpointMismatchError, MissingCheckpointError
from lamm.errors import CheckpointError
from lamm.files import atomic_path, write_text
from lamm.log import logger

_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device)


class _NotPlain(Exception):
    """An object that is no data; the entry that holds it is left out."""


def plain_state(value: Any, name: str) -> Any:
    """Tensors, numbers, texts and containers of them; an object with a `state_dict()` is replaced by its state.

    A dictionary's entry that is none of these (a function, say) is left out, with a line in the log.

    Args:
        value: What to save.
        name: What the log calls it.
    """
    try:
        return _convert(value, name)
    except _NotPlain:
        _report(name, value)
        return None


def _convert(value: Any, name: str) -> Any:
    if value is None or isinstance(value, Tensor) or type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, Mapping):
        return _convert_mapping(value, name)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [_convert(item, name) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if hasattr(value, "state_dict"):
        return _convert(value.state_dict(), name)
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value)
    raise _NotPlain


def _convert_mapping(value: Mapping[Any, Any], name: str) -> dict[Any, Any]:
    converted: dict[Any, Any] = OrderedDict() if isinstance(value, OrderedDict) else {}
    for key, item in value.items():
        try:
            converted[_convert(key, name)] = _convert(item, f"{name}.{key}")
        except _NotPlain:
            _report(f"{name}.{key}", item)
    return converted


def _report(name: str, value: Any) -> None:
    logger.warning("Not saved in the checkpoint, because it is no data: %s (%s)", name, type(value).__name__)


_TENSOR_FUNCTIONS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
_SAFE_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    **{("torch._utils", name): getattr(torch._utils, name) for name in _TENSOR_FUNCTIONS},
    **{("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
}
_SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


class InertObject:
    """Stands for an object of a class that is not loaded; takes any call and any state, and runs nothing."""

    foreign_name = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> "InertObject":
        made = super().__new__(cls)
        made.state = {}
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.state: dict[Any, Any]

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, Mapping):
                self.state.update(part)

    def __call__(self, *args: Any, **kwargs: Any) -> "InertObject":
        return InertObject()

    def __setitem__(self, key: Any, value: Any) -> None:
        self.state[key] = value

    def append(self, item: Any) -> None:
        """Swallow what a list-like object would hold."""

    def extend(self, items: Any) -> None:
        """Swallow what a list-like object would hold."""

    def add(self, item: Any) -> None:
        """Swallow what a set-like object would hold."""

    def update(self, items: Any) -> None:
        """Swallow what a set-like object would hold."""


class RestrictedUnpickler(pickle.Unpickler):
    """Finds tensors and containers; any other global is a fresh subclass of `InertObject`."""

    def find_class(self, module: str, name: str) -> Any:
        """The object itself if it is on the short list, else an inert class of that name."""
        found = _SAFE_GLOBALS.get((module, name))
        if found is not None:
            return found
        return type("InertObject", (InertObject,), {"foreign_name": f"{module}.{name}"})


def load_legacy_checkpoint(path: str | os.PathLike[str], map_location: Any = None) -> Any:
    """Read a checkpoint file of torch ≥ 1.6 as plain data, foreign objects as dictionaries of their state.

    Args:
        path: A file that `torch.save` wrote.
        map_location: As in `torch.load`.

    Raises:
        pickle.UnpicklingError: A file in another format.
    """
    if not zipfile.is_zipfile(path):
        raise pickle.UnpicklingError("not in torch's zip format")
    with zipfile.ZipFile(path) as archive:
        if any(name.rsplit("/", 1)[-1] == "constants.pkl" for name in archive.namelist()):
            raise pickle.UnpicklingError("a TorchScript archive, not a checkpoint")
    loaded = torch.load(path, map_location=map_location, pickle_module=_restricted_pickle(), weights_only=False)
    return plain_data(loaded)


def _restricted_pickle() -> Any:
    """A module-like object with the part of `pickle` that `torch.load` uses, all of it restricted."""
    module = types.ModuleType("restricted_pickle")
    vars(module)["Unpickler"] = RestrictedUnpickler
    vars(module)["UnpicklingError"] = pickle.UnpicklingError
    vars(module)["load"] = lambda file, **options: RestrictedUnpickler(file, **options).load()
    vars(module)["loads"] = lambda data, **options: RestrictedUnpickler(io.BytesIO(data), **options).load()
    return module


_DROPPED = object()


def plain_data(value: Any) -> Any:
    """`value` with each inert object as a dictionary of its plain state; what is no data at all is left out."""
    plain = _plain(value, set())
    return None if plain is _DROPPED else plain


def _plain(value: Any, ancestors: set[int]) -> Any:
    if isinstance(value, (Tensor, *_SCALARS)):
        return value
    if id(value) in ancestors:
        return _DROPPED
    inside = ancestors | {id(value)}
    if isinstance(value, InertObject):
        return _plain_mapping(value.state, {}, inside)
    if isinstance(value, Mapping):
        return _plain_mapping(value, type(value)() if isinstance(value, dict) else {}, inside)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [item for item in (_plain(member, inside) for member in value) if item is not _DROPPED]
        return items if isinstance(value, list) else tuple(items)
    return _DROPPED


def _plain_mapping(source: Mapping[Any, Any], target: Any, ancestors: set[int]) -> Any:
    for key, value in source.items():
        plain = _plain(value, ancestors)
        if plain is not _DROPPED and isinstance(key, _SCALARS):
            target[key] = plain
    return target


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
