"""Packings that are made once: to make one on a GPU is to wait for it.

Letters: G prefixes, N classes, T label-side positions.
"""

import torch
from torch import Tensor

from lamm.clip.prefix_attention import Packing
from lamm.tensor_state import TensorState, state_of

MOST = 1024


class PackingCache:
    """Keeps the packing of each class list, or of each chunk of one, that it is asked for; the `MOST` last ones."""

    def __init__(self) -> None:
        self._kept: dict[tuple[TensorState, int, int], tuple[Tensor, Packing]] = {}

    def packing(self, end: Tensor, length: int, groups: int) -> Packing:
        """The packing of classes whose end tokens stand at `end` (N,), on label sides of T = `length`, G times."""
        state = state_of(end)
        if state is None:
            return Packing.of(end, length, groups)
        key = (state, length, groups)
        if key not in self._kept:
            # No inference tensors are kept: a later training step could not save them for its backward pass.
            with torch.inference_mode(False), torch.no_grad():
                self._kept[key] = (end, Packing.of(end, length, groups))
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
        return self._kept[key][1]
