"""Frozen weights in the dtype that products run in: cast once, where autocast would cast them at every step."""

import torch
from torch import Tensor

from lamm.tensor_state import TensorState, state_of


class CastOnce:
    """Keeps casts of frozen tensors for as long as these hold what they held.

    A tensor that wants a gradient is cast anew each time. The casts of a tower to bf16 take half of its memory.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, torch.dtype], tuple[Tensor, TensorState, Tensor]] = {}

    def __call__(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """The tensor in `dtype`; itself if that is its own."""
        state = None if tensor.dtype == dtype or tensor.requires_grad else state_of(tensor)
        if state is None:
            return tensor.to(dtype)
        key = (id(tensor), dtype)
        kept = self._kept.get(key)
        if kept is None or kept[0] is not tensor or kept[1] != state:
            # No inference tensors are kept: a later training step could not save them for its backward pass.
            with torch.inference_mode(False), torch.no_grad():
                kept = self._kept[key] = (tensor, state, tensor.detach().to(dtype))
        return kept[2]
