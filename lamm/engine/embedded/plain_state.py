"""States as plain data, so that `torch.load(weights_only=True)` reads them back."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
