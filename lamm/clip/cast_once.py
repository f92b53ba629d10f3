"""Frozen weights in the dtype that products run in: cast once, where autocast would cast them at every step."""

import torch
from torch import Tensor

from lamm.tensor_state import Remembered, can_be_remembered, lasting


class CastOnce:
    """Keeps casts of frozen tensors for as long as these hold what they held (`Remembered`).

    A tensor that wants a gradient is cast anew each time. The casts of a tower to bf16 take half of its memory.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, torch.dtype], tuple[Remembered, Tensor]] = {}

    def __call__(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """The tensor in `dtype`; itself if that is its own."""
        if tensor.dtype == dtype or tensor.requires_grad or not can_be_remembered(tensor):
            return tensor.to(dtype)
        kept = self._kept.get((id(tensor), dtype))
        if kept is None or not kept[0].is_still(tensor):
            with lasting():
                kept = self._kept[id(tensor), dtype] = (Remembered(tensor), tensor.detach().to(dtype))
        return kept[1]
