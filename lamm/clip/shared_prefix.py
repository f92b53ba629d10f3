"""The shared-prefix text encoder: what stands before every class's label is encoded once, not N times.

The text tower is causal, so the prefix does not see the labels: its keys and values are the same for all classes.
Per step only the label positions go through the tower, each class with as many as it has (packed), and in the last
block only the end position asks and passes the MLP. The features equal the plain encoder's.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, S positions that
hold something (all classes' label sides without padding), D width, H heads, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.class_chunks import encode_in_chunks
from lamm.clip.prefix_attention import KeysValues, Packing, attend
from lamm.clip.text_tower import TextTower, replace_context

KNOWN_PARTS = {"ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2"}


def unsupported_reason(tower: TextTower) -> str | None:
    """Why a tower's blocks can't be run in parts; None if they can."""
    block: Any
    for block in tower.blocks:
        parts = {name for name, _ in block.named_children()}
        attention = getattr(block, "attn", None)
        if not {"ln_1", "attn", "ln_2", "mlp"} <= parts or not parts <= KNOWN_PARTS:
            return f"its blocks have other parts ({', '.join(sorted(parts))})"
        if not isinstance(attention, nn.MultiheadAttention) or attention.in_proj_weight is None:
            return f"its attention is a {type(attention).__name__}"
        if attention.in_proj_bias is None:
            return "its attention has no biases"
    return None


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
        self._frozen: tuple[list[Tensor], torch.dtype, list[KeysValues]] | None = None

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = ()) -> Tensor:
        """Text features, not normalised; arguments and result as `PlainTextEncoder.encode`. Shape: (G, N, E)

        Raises:
            ValueError: the deep prompts reach beyond the prefix.
        """
        prefix_length = prefix.shape[1]
        if deep and prefix_length < 1 + len(deep[0]):
            raise ValueError(f"{len(deep[0])} deep prompts a layer don't fit a prefix of {prefix_length} positions")
        shared = self._prefix_keys_values(prefix, deep)
        positions = self.tower.positions(prefix_length, labels.shape[1])
        labels = (labels + positions).to(self.tower.dtype)
        flat = [part for kept in shared for part in kept]
        return encode_in_chunks(self._run_labels, flat, labels, end, self.chunk)

    def _run_labels(self, labels: Tensor, end: Tensor, *shared: Tensor) -> Tensor:
        """Features of label sides (N, T, D) behind prefixes whose keys and values follow each other. (G, N, E)"""
        groups, (classes, length, width) = len(shared[0]), labels.shape
        packing = Packing.of(end, length, groups)
        x = packing.take(labels[None].expand(groups, classes, length, width).flatten(0, 1))
        kept = [KeysValues(*pair) for pair in zip(shared[::2], shared[1::2], strict=True)]
        block: Any
        for block, own in zip(self.tower.blocks[:-1], kept[:-1], strict=True):
            query, keys, values = _project(block, block.ln_1(x)).chunk(3, dim=1)
            x = _after_attention(block, x, attend(query, keys, values, own, packing))
        x = _last_block(self.tower.blocks[-1], x, kept[-1], packing)
        return self.tower.finish(x).unflatten(0, (groups, classes))

    def _prefix_keys_values(self, prefix: Tensor, deep: Sequence[Tensor]) -> list[KeysValues]:
        """Every block's keys and values of the prefix; those of a frozen prefix are computed once."""
        dtype = torch.get_autocast_dtype(prefix.device.type) if _autocast_on(prefix) else self.tower.dtype
        given = [prefix, *deep]
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
            return self._run_prefix(prefix, deep)
        if self._frozen is None or self._frozen[1] != dtype or not _same(self._frozen[0], given):
            # No inference tensors are kept: a later training step could not save them for its backward pass.
            with torch.inference_mode(False), torch.no_grad():
                self._frozen = ([t.detach().clone() for t in given], dtype, self._run_prefix(prefix, deep))
        return self._frozen[2]

    def _run_prefix(self, prefix: Tensor, deep: Sequence[Tensor]) -> list[KeysValues]:
        length = prefix.shape[1]
        x = (prefix + self.tower.positions(0, length)).to(self.tower.dtype)
        kept = []
        block: Any
        for number, block in enumerate(self.tower.blocks):
            if 0 < number <= len(deep):
                x = replace_context(x, deep[number - 1])
            heads = block.attn.num_heads
            query, keys, values = (
                part.unflatten(-1, (heads, -1)).transpose(1, 2)
                for part in _project(block, block.ln_1(x)).chunk(3, dim=-1)
            )
            kept.append(KeysValues(keys, values))
            if number + 1 < len(self.tower.blocks):
                heard = F.scaled_dot_product_attention(query, keys, values, is_causal=True)
                x = _after_attention(block, x, heard.transpose(1, 2).flatten(2))
        return kept


def _autocast_on(tensor: Tensor) -> bool:
    return torch.is_autocast_enabled(tensor.device.type)


def _same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(
        one.shape == other.shape and one.device == other.device and torch.equal(one, other)
        for one, other in zip(some, others, strict=True)
    )


def _project(block: Any, normed: Tensor) -> Tensor:
    """Queries, keys and values side by side. Shape: (..., 3 · D)"""
    return F.linear(normed, block.attn.in_proj_weight, block.attn.in_proj_bias)


def _after_attention(block: Any, x: Tensor, heard: Tensor) -> Tensor:
    """The rest of a residual block: output projection and MLP, with open_clip's layer scales where there are any."""
    heard = block.attn.out_proj(heard)
    x = x + (block.ls_1(heard) if hasattr(block, "ls_1") else heard)
    out = block.mlp(block.ln_2(x))
    return x + (block.ls_2(out) if hasattr(block, "ls_2") else out)


def _last_block(block: Any, x: Tensor, shared: KeysValues, packing: Packing) -> Tensor:
    """The last block: every position has keys and values, but only the end tokens ask. Shape: (G · N, D)"""
    width, normed = x.shape[1], block.ln_1(x)
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    query = F.linear(normed[packing.last], weight[:width], bias[:width])
    keys, values = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=1)
    return _after_attention(block, x[packing.last], attend(query, keys, values, shared, packing))
