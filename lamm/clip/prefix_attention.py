"""Attention of label positions to the shared prefix, which is not copied for every class, and to their own class.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, S label positions of
all classes that hold something (padding left out), A asking positions (S, or N where only the end tokens ask),
H heads, C width of a head, D = H · C.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.tensor_state import Remembered, can_be_remembered, lasting


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


SLOPE = 1.702


def is_quick_gelu(module: nn.Module) -> bool:
    """Whether a module is the QuickGELU of open_clip or of the `clip` package."""
    return type(module).__name__ == "QuickGELU"


def quick_gelu(x: Tensor) -> Tensor:
    """x · σ(1.702 x); as SiLU it is silu(z) / 1.702 with z = 1.702 x, so its derivative is silu'(z)."""
    return _QuickGELU.apply(x)


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scaled = x * SLOPE
        ctx.save_for_backward(scaled)
        return F.silu(scaled).mul_(1 / SLOPE)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.ops.aten.silu_backward(gradient, ctx.saved_tensors[0])


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


KNOWN_PARTS = {"ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2"}


def unknown_parts(block: Any) -> str | None:
    """Why a block can't be run in parts; None if it can."""
    parts = {name for name, _ in block.named_children()}
    attention = getattr(block, "attn", None)
    if not {"ln_1", "attn", "ln_2", "mlp"} <= parts or not parts <= KNOWN_PARTS:
        return f"its blocks have other parts ({', '.join(sorted(parts))})"
    if type(attention) is not nn.MultiheadAttention or attention.in_proj_weight is None:
        return f"its attention is a {type(attention).__name__}"
    if attention.in_proj_bias is None:
        return "its attention has no biases"
    return None


class BlockParts:
    """The parts of one block.

    Under autocast the products' weights are cast once, not at every step.

    Args:
        block: one for which `unknown_parts` is None.
        cast: keeps the casts.
    """

    def __init__(self, block: Any, cast: CastOnce) -> None:
        self._block = block
        self._cast = cast
        self.heads: int = block.attn.num_heads
        layers = dict(block.mlp.named_children())
        linear = [name for name, layer in layers.items() if type(layer) is nn.Linear]
        self._plain_mlp = list(layers) == ["c_fc", "gelu", "c_proj"] and linear == ["c_fc", "c_proj"]

    def normed(self, x: Tensor) -> Tensor:
        """What the attention reads, (A, D)."""
        return self._block.ln_1(x)

    def project(self, normed: Tensor, rows: slice = slice(None)) -> Tensor:
        """Queries, keys and values side by side, or some rows of that product. Shape: (A, 3 · D)"""
        attention = self._block.attn
        return self._product(normed, attention.in_proj_weight, attention.in_proj_bias, rows)

    def after_attention(self, x: Tensor, heard: Tensor) -> Tensor:
        """The rest of the block: output projection and MLP, with open_clip's layer scales where there are any.

        Args:
            x: the block's input, (A, D).
            heard: what the attention gave, before its output projection, (A, D).
        """
        block = self._block
        heard = self._linear(heard, block.attn.out_proj)
        x = x + (block.ls_1(heard) if hasattr(block, "ls_1") else heard)
        out = self._mlp(block.ln_2(x))
        return x + (block.ls_2(out) if hasattr(block, "ls_2") else out)

    def _mlp(self, x: Tensor) -> Tensor:
        mlp = self._block.mlp
        if not self._plain_mlp:
            return mlp(x)
        hidden = self._linear(x, mlp.c_fc)
        return self._linear(quick_gelu(hidden) if is_quick_gelu(mlp.gelu) else mlp.gelu(hidden), mlp.c_proj)

    def _linear(self, x: Tensor, layer: nn.Linear) -> Tensor:
        return self._product(x, layer.weight, layer.bias)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None, rows: slice = slice(None)) -> Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        bias = None if bias is None else self._cast(bias, dtype)[rows]
        return F.linear(x, self._cast(weight, dtype)[rows], bias)
