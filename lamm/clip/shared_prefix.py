"""The shared-prefix text encoder: what stands before every class's label is encoded once, not N times.

The text tower is causal, so the prefix does not see the labels: its keys and values are the same for all classes.
Per step only the label positions go through the tower, each class with as many as it has (packed), and in the last
block only the end position asks and passes the MLP. The features equal the plain encoder's.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, S positions that
hold something (all classes' label sides without padding), D width, H heads, E embedding size.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.clip.prefix_attention import BlockParts, CastOnce, KeysValues, Packing, attend, unknown_parts
from lamm.clip.tensor_state import Remembered, can_be_remembered, lasting
from lamm.clip.text import PlainTextEncoder, encode_in_chunks
from lamm.clip.text_tower import TextTower, replace_context
from lamm.log import logger

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


def unsupported_reason(tower: TextTower) -> str | None:
    """Why a tower's blocks can't be run in parts; None if they can."""
    return next(filter(None, map(unknown_parts, tower.blocks)), None)


class SharedPrefixEncoder:
    """Encodes prompts with one pass over the prefix.

    Keys and values of the last prefix that came without gradients are kept: a frozen one is encoded once.

    Args:
        tower: a frozen text tower for which `unsupported_reason` is None.
        chunk: prompts that training encodes at a time (`encode_in_chunks`).
    """

    def __init__(self, tower: TextTower, chunk: int = 0) -> None:
        self.tower = tower
        self.chunk = chunk
        cast = CastOnce()
        self._blocks = [BlockParts(block, cast) for block in tower.blocks]
        self._packings = PackingCache()
        self._weights = list(tower.parameters())
        self._frozen: _FrozenPrefix | None = None

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = ()) -> Tensor:
        """Text features, not normalised; arguments and result as `PlainTextEncoder.encode`. Shape: (G, N, E)

        Raises:
            ValueError: the deep prompts reach beyond the prefix.
        """
        prefix_length = prefix.shape[1]
        if deep and prefix_length < 1 + len(deep[0]):
            raise ValueError(f"{len(deep[0])} deep prompts a layer don't fit a prefix of {prefix_length} positions")
        shared = self._prefix_keys_values(prefix, deep)
        flat = [part for kept in shared for part in kept]
        return encode_in_chunks(self._run_labels, flat, labels, end, self.chunk)

    def _run_labels(self, labels: Tensor, end: Tensor, *shared: Tensor) -> Tensor:
        """Features of label sides (N, T, D) behind prefixes whose keys and values follow each other. (G, N, E)"""
        groups, (classes, length, width) = len(shared[0]), labels.shape
        packing = self._packings.packing(end, length, groups)
        labels = (labels + self.tower.positions(shared[0].shape[2], length)).to(self.tower.dtype)
        x = packing.take(labels[None].expand(groups, classes, length, width).flatten(0, 1))
        kept = [KeysValues(*pair) for pair in zip(shared[::2], shared[1::2], strict=True)]
        for block, own in zip(self._blocks[:-1], kept[:-1], strict=True):
            query, keys, values = block.project(block.normed(x)).chunk(3, dim=1)
            x = block.after_attention(x, attend(query, keys, values, own, packing))
        x = _last_block(self._blocks[-1], x, kept[-1], packing)
        return self.tower.finish(x).unflatten(0, (groups, classes))

    def _prefix_keys_values(self, prefix: Tensor, deep: Sequence[Tensor]) -> list[KeysValues]:
        """Every block's keys and values of the prefix; those of a frozen prefix are computed once."""
        dtype = torch.get_autocast_dtype(prefix.device.type) if _autocast_on(prefix) else self.tower.dtype
        given = [prefix, *deep]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
            return self._run_prefix(prefix, deep)
        tower = (dtype, self._weights[0].data_ptr(), sum(weight._version for weight in self._weights))
        if self._frozen is None or self._frozen.tower != tower or not self._frozen.made_of(given):
            with lasting():
                self._frozen = _FrozenPrefix(given, tower, self._run_prefix(prefix, deep))
        return self._frozen.keys_values

    def _run_prefix(self, prefix: Tensor, deep: Sequence[Tensor]) -> list[KeysValues]:
        length = prefix.shape[1]
        x = (prefix + self.tower.positions(0, length)).to(self.tower.dtype)
        kept = []
        for number, block in enumerate(self._blocks):
            if 0 < number <= len(deep):
                x = replace_context(x, deep[number - 1])
            query, keys, values = (
                part.unflatten(-1, (block.heads, -1)).transpose(1, 2)
                for part in block.project(block.normed(x)).chunk(3, dim=-1)
            )
            kept.append(KeysValues(keys, values))
            if number + 1 < len(self._blocks):
                heard = F.scaled_dot_product_attention(query, keys, values, is_causal=True)
                x = block.after_attention(x, heard.transpose(1, 2).flatten(2))
        return kept


def _autocast_on(tensor: Tensor) -> bool:
    return torch.is_autocast_enabled(tensor.device.type)


class _FrozenPrefix:
    """Keys and values of a prefix, and what they were made of.

    Args:
        given: prefix and deep prompts.
        tower: tells the tower's weights and arithmetic.
        keys_values: of each block.
    """

    def __init__(self, given: Sequence[Tensor], tower: tuple[object, ...], keys_values: list[KeysValues]) -> None:
        self.tower = tower
        self.keys_values = keys_values
        self._content = [tensor.detach().clone() for tensor in given]
        self._seen = [Remembered(tensor) for tensor in given]

    def made_of(self, given: Sequence[Tensor]) -> bool:
        """Whether prefix and deep prompts hold what they held; tensors that can't have changed are not read."""
        if len(given) != len(self._content):
            return False
        if all(seen.is_still(tensor) for seen, tensor in zip(self._seen, given, strict=True)):
            return True
        same = all(
            one.shape == other.shape and one.device == other.device and torch.equal(one, other)
            for one, other in zip(self._content, given, strict=True)
        )
        if same:
            self._seen = [Remembered(tensor) for tensor in given]
        return same


def _last_block(block: BlockParts, x: Tensor, shared: KeysValues, packing: Packing) -> Tensor:
    """The last block: every position has keys and values, but only the end tokens ask. Shape: (G · N, D)"""
    width, normed = x.shape[1], block.normed(x)
    query = block.project(normed[packing.last], slice(width))
    keys, values = block.project(normed, slice(width, None)).chunk(2, dim=1)
    return block.after_attention(x[packing.last], attend(query, keys, values, shared, packing))


class TextEncoder(Protocol):
    """What a text encoder answers: prefix (G, P, D), labels (N, T, D), end (N,), deep prompts → features (G, N, E)."""

    chunk: int

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = ()) -> Tensor: ...


def text_encoder_of(tower: TextTower) -> TextEncoder:
    """The fastest encoder that a tower can be run with; the log says which one and why."""
    reason = unsupported_reason(tower)
    if reason is None:
        logger.info("Text encoder: shared prefix")
        return SharedPrefixEncoder(tower)
    logger.info("Text encoder: plain, every prompt as a whole, because %s", reason)
    return PlainTextEncoder(tower)
