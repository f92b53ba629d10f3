"""Checkpoints that hold objects of foreign classes, read without running any of their code.

Dassl's warm-up schedulers saved their successor as a pickled object. Here the unpickler knows tensors and
containers only; every other class and function becomes an inert stand-in that keeps what would have been its
state and does nothing. The stand-ins are then replaced by dictionaries of that state, so what is returned is plain
data.
"""

import collections
import io
import os
import pickle
import types
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

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
