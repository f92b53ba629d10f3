"""Packings that are made once: to make one on a GPU is to wait for it.

Letters: G prefixes, N classes, T label-side positions.
"""

from torch import Tensor

from lamm.clip.prefix_attention import Packing
from lamm.tensor_state import Remembered, can_be_remembered, lasting

MOST = 1024


class PackingCache:
    """Keeps the packing of each class list, or of each chunk of one, that it is asked for; the `MOST` last ones."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, int, int], tuple[Remembered, Packing]] = {}

    def packing(self, end: Tensor, length: int, groups: int) -> Packing:
        """The packing of classes whose end tokens stand at `end` (N,), on label sides of T = `length`, G times."""
        if not can_be_remembered(end):
            return Packing.of(end, length, groups)
        key = (end.data_ptr(), len(end), length, groups)
        kept = self._kept.get(key)
        if kept is None or not kept[0].is_still(end):
            with lasting():
                kept = self._kept[key] = (Remembered(end), Packing.of(end, length, groups))
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
        return kept[1]
