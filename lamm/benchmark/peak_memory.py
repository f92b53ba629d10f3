"""The most memory that tensors held at one time, counted operator by operator, on any device."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Counts the tensors that are made within the context; what an operator needs inside itself is not seen.

    Attributes:
        held: bytes of those that are alive.
        peak: most bytes that were alive at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, op: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        # What goes in and was not made here is older, and a view of it that comes out takes nothing.
        for tensor in tree_leaves((given, named)):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage(), 0)
        out = op(*given, **(named or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage(), tensor.untyped_storage().nbytes())
        return out

    def _hold(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known[key] = size
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.held -= self._known.pop(key)
