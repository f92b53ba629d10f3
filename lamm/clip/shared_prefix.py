"""The shared-prefix text encoder: what stands before every class's label is encoded once, not N times.

The text tower is causal, so the prefix does not see the labels: its keys and values are the same for all classes.
Per step only the label positions go through the tower, each class with as many as it has (packed), and in the last
block only the end position asks and passes the MLP. The features equal the plain encoder's.

Letters: G prefixes (1, or one per image), N classes, P prefix positions, T label-side positions, S positions that
hold something (all classes' label sides without padding), D width, H heads, E embedding size.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.clip.prefix_attention import BlockParts, HeadRows, KeysValues, attend, unknown_parts
from lamm.clip.text import Chunks, PlainTextEncoder
from lamm.clip.text_tower import TextTower, replace_context
from lamm.log import logger
from lamm.prompt_layout import FixedPrefix, Packing


class SharedPrefixEncoder:
    """Encodes prompts with one pass over the prefix; a `FixedPrefix` is encoded once.

    Args:
        tower: a text tower for which `unsupported_reason` is None. It is frozen: it can be moved, but other weights
            need another encoder.
        chunks: how many prompts are encoded at a time.
    """

    def __init__(self, tower: TextTower, chunks: Chunks | None = None) -> None:
        self.tower = tower
        self.chunks = chunks or Chunks()
        self._parts: dict[tuple[torch.dtype, torch.device], list[BlockParts]] = {}

    def encode(
        self,
        prefix: Tensor,
        labels: Tensor,
        end: Tensor,
        deep: Sequence[Tensor] = (),
        packing: Packing | None = None,
    ) -> Tensor:
        """Text features, not normalised; arguments and result as `PlainTextEncoder.encode`. Shape: (G, N, E)

        Raises:
            ValueError: the deep prompts reach beyond the prefix.
        """
        prefix_length = prefix.shape[1]
        if deep and prefix_length < 1 + len(deep[0]):
            raise ValueError(f"{len(deep[0])} deep prompts a layer don't fit a prefix of {prefix_length} positions")
        flat = [part for pair in self._prefix_keys_values(prefix, deep) for part in pair]
        packing = packing or Packing.of(end, labels.shape[1])
        return self.chunks.encode(self._run_labels, flat, labels, packing)

    def _dtype(self, device: torch.device) -> torch.dtype:
        """The dtype that the blocks' products run in."""
        on = torch.is_autocast_enabled(device.type)
        return torch.get_autocast_dtype(device.type) if on else self.tower.dtype

    def _blocks(self, device: torch.device) -> list[BlockParts]:
        """The blocks with their weights cast for the present precision, which is done once for each precision."""
        key = self._dtype(device), device
        if key not in self._parts:
            dtype = key[0] if torch.is_autocast_enabled(device.type) else None
            # Casts that were made in inference mode could not be used in training later.
            with torch.inference_mode(False), torch.no_grad():
                self._parts[key] = self._parts_of(dtype)
        return self._parts[key]

    def _parts_of(self, dtype: torch.dtype | None) -> list[BlockParts]:
        return [BlockParts(block, dtype) for block in self.tower.blocks]

    def _prefix_keys_values(self, prefix: Tensor, deep: Sequence[Tensor]) -> list[KeysValues]:
        """Every block's keys and values of the prefix; those of a fixed prefix are kept with it."""
        if deep or not isinstance(prefix, FixedPrefix):
            return self._run_prefix(prefix, deep)
        key = self.tower, self._dtype(prefix.device)
        if key not in prefix.keys_values:
            with torch.inference_mode(False), torch.no_grad():
                prefix.keys_values[key] = self._run_prefix(prefix, deep)
        return prefix.keys_values[key]

    def _run_prefix(self, prefix: Tensor, deep: Sequence[Tensor]) -> list[KeysValues]:
        x = (prefix + self.tower.positions(0, prefix.shape[1])).to(self.tower.dtype)
        keys_values = []
        blocks = self._blocks(prefix.device)
        for number, block in enumerate(blocks):
            if 0 < number <= len(deep):
                x = replace_context(x, deep[number - 1])
            query, keys, values = (
                part.unflatten(-1, (block.heads, -1)).transpose(1, 2)  # (G, H, P, C)
                for part in block.project(block.normed(x)).chunk(3, dim=-1)
            )
            keys_values.append(KeysValues(keys, values))
            if number + 1 < len(blocks):  # nothing reads what the last block puts out for the prefix
                attended = F.scaled_dot_product_attention(query, keys, values, is_causal=True)
                x = block.after_attention(x, attended.transpose(1, 2).flatten(2))  # (G, P, D)
        return keys_values

    def _run_labels(self, labels: Tensor, packing: Packing, *shared: Tensor) -> Tensor:
        """Features of label sides (N, T, D) behind prefixes whose keys and values follow each other. (G, N, E)"""
        groups, (classes, length, _) = len(shared[0]), labels.shape
        packing = packing.repeat(groups)
        labels = (labels + self.tower.positions(shared[0].shape[2], length)).to(self.tower.dtype)
        x = packing.take(labels[None].expand(groups, -1, -1, -1).flatten(0, 1))  # (G · S, D)
        prefixes = [KeysValues(*pair) for pair in zip(shared[::2], shared[1::2], strict=True)]
        rows = HeadRows.of(packing, groups, self.tower.heads)
        *blocks, last = self._blocks(labels.device)
        for block, prefix in zip(blocks, prefixes, strict=False):  # the last block's prefix comes below
            x = block.after_attention(x, attend(block.project(block.normed(x)), prefix, rows))
        # In the last block every position has keys and values, but only the end tokens ask.
        width, normed = x.shape[1], last.normed(x)
        query = last.project(normed.index_select(0, packing.last), slice(width))
        attended = attend(last.project(normed, slice(width, None)), prefixes[-1], rows, query)
        x = last.after_attention(x.index_select(0, packing.last), attended)
        return self.tower.finish(x).unflatten(0, (groups, classes))


class TextEncoder(Protocol):
    """What a text encoder can do; see `PlainTextEncoder`."""

    chunks: Chunks

    def encode(
        self,
        prefix: Tensor,
        labels: Tensor,
        end: Tensor,
        deep: Sequence[Tensor] = (),
        packing: Packing | None = None,
    ) -> Tensor:
        """Prefix (G, P, D), labels (N, T, D), end (N,) and deep prompts to features (G, N, E)."""
        ...


def unsupported_reason(tower: TextTower) -> str | None:
    """Why a tower's blocks can't be run in parts; None if they can."""
    return next(filter(None, map(unknown_parts, tower.blocks)), None)


def text_encoder_of(tower: TextTower) -> TextEncoder:
    """The fastest encoder that a tower can be run with; the log says which one and why."""
    reason = unsupported_reason(tower)
    if reason is None:
        logger.info("Text encoder: shared prefix")
        return SharedPrefixEncoder(tower)
    logger.info("Text encoder: plain, every prompt as a whole, because %s", reason)
    return PlainTextEncoder(tower)
