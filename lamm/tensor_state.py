"""Whether a tensor still holds what it held, told without reading it: on a GPU reading would make the program wait."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class TensorState(NamedTuple):
    """Where a tensor lies, how it is laid out, and how often it was written to.

    Two equal states mean equal content only while the tensor of the first one is alive, so whoever keeps a state keeps
    the tensor as well.
    """

    pointer: int
    layout: tuple[torch.Size, tuple[int, ...], torch.dtype, torch.device]
    version: int


def state_of(tensor: Tensor) -> TensorState | None:
    """The state of a tensor; None where it can't be told (inference tensors, tracing)."""
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.is_inference():
        return None
    layout = (tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
    return TensorState(tensor.data_ptr(), layout, tensor._version)
