"""Attention of label positions to the shared prefix, which is not copied for every class, and to their own class.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, S label positions of
all classes that hold something (padding left out), A asking positions (S, or N where only the end tokens ask),
H heads, C width of a head, D = H · C.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class KeysValues(NamedTuple):
    """What one block's attention keeps of the prefix, (G, H, P, C) each."""

    keys: Tensor
    values: Tensor


class Packing(NamedTuple):
    """Which of the G · N · T label positions hold something.

    Attributes:
        kept: their places, (G · S,).
        last: places of the end tokens among them, (G · N,).
        end: place of each class's end token on its label side, (G · N,).
        padding: behind each class's end token, (G · N, T).
        later: what a position may not hear of its own class, (T, T).
        length: T.
    """

    kept: Tensor
    last: Tensor
    end: Tensor
    padding: Tensor
    later: Tensor
    length: int

    @classmethod
    def of(cls, end: Tensor, length: int, groups: int) -> "Packing":
        """The packing of classes whose end tokens stand at `end` (N,), once for each group."""
        end = end.repeat(groups)
        padding = torch.arange(length, device=end.device) > end[:, None]
        later = torch.ones(length, length, dtype=torch.bool, device=end.device).triu(1)
        kept = (~padding).flatten().nonzero().squeeze(1)
        return cls(kept, (end + 1).cumsum(0) - 1, end, padding, later, length)

    @property
    def whole(self) -> bool:
        """Whether all prompts are of one length, so that nothing is padding."""
        return len(self.kept) == len(self.end) * self.length

    def place(self, packed: Tensor) -> Tensor:
        """Packed positions (G · S, ...) among all of them, zeros elsewhere. Shape: (G · N, T, ...)"""
        rows, rest = len(self.end), packed.shape[1:]
        if not self.whole:
            packed = packed.new_zeros(rows * self.length, *rest).index_copy(0, self.kept, packed)
        return packed.view(rows, self.length, *rest)

    def take(self, placed: Tensor) -> Tensor:
        """The opposite of `place`. Shape: (G · S, ...)"""
        placed = placed.flatten(0, 1)
        return placed if self.whole else placed.index_select(0, self.kept)


def attend(query: Tensor, keys: Tensor, values: Tensor, shared: KeysValues, packing: Packing) -> Tensor:
    """What the asking label positions hear: softmax(Q · Kᵀ / √C) · V over the prefix and their own class.

    Args:
        query: of all label positions, (G · S, D), or of the end tokens alone, (G · N, D).
        keys, values: of all label positions, (G · S, D).
        shared: of the prefix.
        packing: where the label positions stand.

    Returns:
        (G · A, D)
    """
    groups, heads, prefix_length, size = shared.keys.shape
    by_head = (heads, size)
    query = query.unflatten(1, by_head) * size**-0.5
    keys, values = (packing.place(part.unflatten(1, by_head)).transpose(1, 2) for part in (keys, values))
    grouped = query.unflatten(0, (groups, -1)).transpose(1, 2)
    to_prefix = (grouped @ shared.keys.to(query.dtype).transpose(2, 3)).transpose(1, 2).flatten(0, 1)
    only_ends = len(query) == len(packing.end)
    to_own = (_end_scores if only_ends else _scores)(query, keys, packing)
    weights = torch.softmax(torch.cat([to_prefix, to_own], dim=2), dim=2).to(values.dtype)
    of_prefix, of_own = weights.split([prefix_length, packing.length], dim=2)
    grouped = of_prefix.unflatten(0, (groups, -1)).transpose(1, 2)
    heard = (grouped @ shared.values.to(query.dtype)).transpose(1, 2).flatten(0, 1)
    if only_ends:
        return (heard + (of_own[:, :, None] @ values)[:, :, 0]).flatten(1)
    own = packing.place(of_own).transpose(1, 2) @ values
    return (heard + packing.take(own.transpose(1, 2))).flatten(1)


def _scores(query: Tensor, keys: Tensor, packing: Packing) -> Tensor:
    """Scores of all positions (G · S, H, C) with their own class's keys (G · N, H, T, C). Shape: (G · S, H, T)"""
    scores = packing.place(query).transpose(1, 2) @ keys.transpose(2, 3)
    return packing.take(scores.masked_fill(packing.later, float("-inf")).transpose(1, 2))


def _end_scores(query: Tensor, keys: Tensor, packing: Packing) -> Tensor:
    """Scores of the end tokens (G · N, H, C) with their own class's keys (G · N, H, T, C). Shape: (G · N, H, T)"""
    scores = (query[:, :, None] @ keys.transpose(2, 3))[:, :, 0]
    return scores.masked_fill(packing.padding[:, None], float("-inf"))
