"""Whether a tensor still holds what it held, told without reading it: on a GPU reading would make the program wait."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Remembered:
    """A tensor as it is now, to be recognised later.

    It goes by place and version. What is written past autograd (`.data`, optimizers with `fused=True`) is not noticed.

    Args:
        tensor: its memory is kept alive, so that no other tensor can take its place.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor.detach()
        self._version = _version(tensor)

    def is_still(self, tensor: Tensor) -> bool:
        """Whether a tensor is certain to be that one, or a view of the same memory, with nothing written since."""
        kept = self._tensor
        return (
            self._version is not None
            and self._version == _version(tensor)
            and tensor.data_ptr() == kept.data_ptr()
            and (tensor.shape, tensor.stride()) == (kept.shape, kept.stride())
            and (tensor.dtype, tensor.device) == (kept.dtype, kept.device)
        )


def can_be_remembered(tensor: Tensor) -> bool:
    """Whether a `Remembered` of a tensor can ever recognise it: not in inference mode, nor while a graph is traced."""
    return _version(tensor) is not None


@contextmanager
def lasting() -> Iterator[None]:
    """Tensors made within can be kept and used in training, whatever mode surrounds it; no gradient is recorded."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was written to; None where that can't be told."""
    told = type(tensor) in (Tensor, nn.Parameter) and not tensor.is_inference()
    return tensor._version if told else None
