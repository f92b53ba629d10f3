"""The shared-prefix text encoder: what stands before every class's label is encoded once, not N times.

The text tower is causal, so the prefix does not see the labels: its keys and values are the same for all classes.
Per step only the label positions go through the tower, each as many as its class has (packed), and in the last block
only the end position asks and passes the MLP. The features equal the plain encoder's.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, S positions that
hold something (all classes' label sides without padding), D width, H heads, E embedding size.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.text_tower import TextTower

KNOWN_PARTS = {"ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2"}


class KeysValues(NamedTuple):
    """What one block's attention keeps of the prefix, (G, H, P, D / H) each."""

    keys: Tensor
    values: Tensor


class Packing(NamedTuple):
    """Which of the N · T label positions hold something.

    Attributes:
        kept: their places, (S,).
        last: the place of each class's end token among them, (N,).
    """

    kept: Tensor
    last: Tensor


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
    return None


class SharedPrefixEncoder:
    """Encodes prompts with one pass over the prefix.

    Keys and values of a frozen prefix are kept from call to call.

    Args:
        tower: a frozen text tower for which `unsupported_reason` is None.
    """

    def __init__(self, tower: TextTower) -> None:
        self.tower = tower
        self._frozen: tuple[Tensor, torch.dtype, list[KeysValues]] | None = None
        self._packing: tuple[Tensor, int, Packing] | None = None

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor) -> Tensor:
        """Text features, not normalised; arguments and result as `PlainTextEncoder.encode`. Shape: (G, N, E)"""
        groups, prefix_length, _ = prefix.shape
        classes, length, width = labels.shape
        shared = self._prefix_keys_values(prefix)
        positions = self.tower.positional_embedding[prefix_length : prefix_length + length]
        x = (labels + positions).to(self.tower.dtype)
        x = x[None].expand(groups, classes, length, width).reshape(groups * classes * length, width)
        packing = self._packing_of(end, length, groups)
        x = x[packing.kept]
        visible = self._mask(prefix_length, length, x.device)
        for block, kept in zip(self.tower.blocks[:-1], shared[:-1], strict=True):
            x = _label_block(block, x, kept, packing, classes, length, visible)
        x = _last_block(self.tower.blocks[-1], x, shared[-1], packing, classes, length, visible)
        return self.tower.finish(x).unflatten(0, (groups, classes))

    def _prefix_keys_values(self, prefix: Tensor) -> list[KeysValues]:
        """Every block's keys and values of the prefix; those of a frozen prefix are computed once."""
        dtype = torch.get_autocast_dtype(prefix.device.type) if _autocast_on(prefix) else self.tower.dtype
        if prefix.requires_grad:
            return self._run_prefix(prefix)
        if self._frozen is not None and self._frozen[1] == dtype and _same(self._frozen[0], prefix):
            return self._frozen[2]
        with torch.no_grad():
            self._frozen = (prefix.detach().clone(), dtype, self._run_prefix(prefix))
        return self._frozen[2]

    def _run_prefix(self, prefix: Tensor) -> list[KeysValues]:
        groups, length, width = prefix.shape
        x = (prefix + self.tower.positional_embedding[:length]).to(self.tower.dtype)
        kept = []
        block: Any
        for number, block in enumerate(self.tower.blocks):
            heads = block.attn.num_heads
            query, keys, values = (
                part.unflatten(-1, (heads, width // heads)).transpose(1, 2)
                for part in _project(block, block.ln_1(x)).chunk(3, dim=-1)
            )
            kept.append(KeysValues(keys, values))
            if number + 1 < len(self.tower.blocks):
                heard = F.scaled_dot_product_attention(query, keys, values, is_causal=True)
                x = _after_attention(block, x, heard.transpose(1, 2).reshape(groups, length, width))
        return kept

    def _packing_of(self, end: Tensor, length: int, groups: int) -> Packing:
        """The packing of a label side; kept while `end` is the same tensor."""
        if self._packing is None or self._packing[0] is not end or self._packing[1] != groups:
            held = torch.arange(length, device=end.device)[None] <= end[:, None]
            held = held.repeat(groups, 1)
            last = (end + 1).repeat(groups).cumsum(0) - 1
            self._packing = (end, groups, Packing(held.flatten().nonzero().squeeze(1), last))
        return self._packing[2]

    def _mask(self, prefix_length: int, length: int, device: torch.device) -> Tensor:
        """Which positions a label position sees: the whole prefix, and labels up to itself. Shape: (T, P + T)"""
        own = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        return torch.cat([own.new_ones(length, prefix_length), own], dim=1)


def _autocast_on(tensor: Tensor) -> bool:
    return torch.is_autocast_enabled(tensor.device.type)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.device == other.device and torch.equal(one, other)


def _project(block: Any, normed: Tensor) -> Tensor:
    """Queries, keys and values side by side. Shape: (..., 3 · D)"""
    return F.linear(normed, block.attn.in_proj_weight, block.attn.in_proj_bias)


def _after_attention(block: Any, x: Tensor, heard: Tensor) -> Tensor:
    """The rest of a residual block: output projection and MLP, with open_clip's layer scales where there are any."""
    heard = block.attn.out_proj(heard)
    x = x + (block.ls_1(heard) if hasattr(block, "ls_1") else heard)
    out = block.mlp(block.ln_2(x))
    return x + (block.ls_2(out) if hasattr(block, "ls_2") else out)


def _with_prefix(own: Tensor, prefix: Tensor, classes: int) -> Tensor:
    """Keys (or values) of the prefix in front of each class's own. Shape: (G · N, H, P + T, D / H)"""
    groups, heads, length, size = prefix.shape
    spread = prefix[:, None].expand(groups, classes, heads, length, size).reshape(-1, heads, length, size)
    return torch.cat([spread.to(own.dtype), own], dim=2)


def _padded(packed: Tensor, packing: Packing, rows: int, length: int, heads: int) -> Tensor:
    """Packed rows (S, D) in their places, split in heads. Shape: (G · N, H, T, D / H)"""
    padded = packed.new_zeros(rows * length, packed.shape[1]).index_copy(0, packing.kept, packed)
    return padded.view(rows, length, heads, -1).transpose(1, 2)


def _label_block(
    block: Any, x: Tensor, shared: KeysValues, packing: Packing, classes: int, length: int, visible: Tensor
) -> Tensor:
    """One block over the packed label positions. Shape: (S, D)"""
    heads, rows = block.attn.num_heads, len(packing.last)
    query, keys, values = (
        _padded(part, packing, rows, length, heads) for part in _project(block, block.ln_1(x)).chunk(3, dim=-1)
    )
    keys, values = _with_prefix(keys, shared.keys, classes), _with_prefix(values, shared.values, classes)
    heard = F.scaled_dot_product_attention(query, keys, values, attn_mask=visible)
    heard = heard.transpose(1, 2).reshape(rows * length, -1)[packing.kept]
    return _after_attention(block, x, heard)


def _last_block(
    block: Any, x: Tensor, shared: KeysValues, packing: Packing, classes: int, length: int, visible: Tensor
) -> Tensor:
    """The last block: every position has keys and values, but only the end token asks. Shape: (G · N, D)"""
    heads, rows, width = block.attn.num_heads, len(packing.last), x.shape[1]
    normed = block.ln_1(x)
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    query = F.linear(normed[packing.last], weight[:width], bias[:width])
    query = query.view(rows, heads, -1)[:, :, None]
    both = F.linear(normed, weight[width:], bias[width:])
    keys, values = (_padded(part, packing, rows, length, heads) for part in both.chunk(2, dim=-1))
    keys, values = _with_prefix(keys, shared.keys, classes), _with_prefix(values, shared.values, classes)
    place = packing.kept[packing.last] % length
    heard = F.scaled_dot_product_attention(query, keys, values, attn_mask=visible[place][:, None, None])
    return _after_attention(block, x[packing.last], heard[:, :, 0].reshape(rows, width))
