"""Attention of label positions to the shared prefix, which is not copied for every class, and to their own class.

Letters: G prefixes (1, or one per image), N classes, P prefix positions, T label-side positions, S label positions of
all classes that hold something (padding left out), A asking positions (S, or N where only the end tokens ask),
H heads, C width of a head, D = H · C.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.prompt_layout import Packing

KNOWN_PARTS = {"ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2"}  # of a residual block
SLOPE = 1.702  # of QuickGELU


class KeysValues(NamedTuple):
    """What one block's attention keeps of the prefix, (G, H, P, C) each."""

    keys: Tensor
    values: Tensor


def attend(query: Tensor, keys: Tensor, values: Tensor, shared: KeysValues, packing: Packing) -> Tensor:
    """Attention of the asking label positions: softmax(Q · Kᵀ / √C) · V over the prefix and their own class.

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
    query = query.unflatten(1, by_head) * size**-0.5  # (G · A, H, C)
    # (G · N, H, T, C), with zeros where nothing stands
    keys, values = (packing.place(part.unflatten(1, by_head)).transpose(1, 2) for part in (keys, values))
    # Scores with the prefix, which a group's positions share: (G, H, A, C) with (G, H, P, C) to (G · A, H, P).
    grouped = query.unflatten(0, (groups, -1)).transpose(1, 2)
    to_prefix = (grouped @ shared.keys.to(query.dtype).transpose(2, 3)).transpose(1, 2).flatten(0, 1)
    # Scores with their own class, (G · A, H, T), and one softmax over both.
    only_ends = len(query) == len(packing)
    to_own = (_end_scores if only_ends else _scores)(query, keys, packing)
    weights = torch.softmax(torch.cat([to_prefix, to_own], dim=2), dim=2).to(values.dtype)
    of_prefix, of_own = weights.split([prefix_length, packing.length], dim=2)
    # The weighted sums of values, again in two parts, (G · A, H, C) each.
    grouped = of_prefix.unflatten(0, (groups, -1)).transpose(1, 2)
    attended = (grouped @ shared.values.to(query.dtype)).transpose(1, 2).flatten(0, 1)
    if only_ends:
        return (attended + (of_own[:, :, None] @ values)[:, :, 0]).flatten(1)
    own = packing.place(of_own).transpose(1, 2) @ values
    return (attended + packing.take(own.transpose(1, 2))).flatten(1)


def _scores(query: Tensor, keys: Tensor, packing: Packing) -> Tensor:
    """Scores of all positions (G · S, H, C) with their own class's keys (G · N, H, T, C). Shape: (G · S, H, T)"""
    scores = packing.place(query).transpose(1, 2) @ keys.transpose(2, 3)
    return packing.take(scores.masked_fill(packing.later, float("-inf")).transpose(1, 2))


def _end_scores(query: Tensor, keys: Tensor, packing: Packing) -> Tensor:
    """Scores of the end tokens (G · N, H, C) with their own class's keys (G · N, H, T, C). Shape: (G · N, H, T)"""
    scores = (query[:, :, None] @ keys.transpose(2, 3))[:, :, 0]
    return scores.masked_fill(packing.padding[:, None], float("-inf"))


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
    """The parts of one frozen block, in the dtype that its products run in.

    Autocast would cast the weights at every step; here they are cast once. The casts of a tower to bf16 take half of
    its memory.

    Args:
        block: one for which `unknown_parts` is None.
        dtype: of autocast; None: the weights stay as they are.
    """

    def __init__(self, block: Any, dtype: torch.dtype | None = None) -> None:
        self._block = block
        self.heads: int = block.attn.num_heads
        self._in = _product(block.attn.in_proj_weight, block.attn.in_proj_bias, dtype)
        self._out = _product(block.attn.out_proj.weight, block.attn.out_proj.bias, dtype)
        layers = dict(block.mlp.named_children())
        linear = [name for name, layer in layers.items() if type(layer) is nn.Linear]
        self._mlp: tuple[Product, Callable[[Tensor], Tensor], Product] | None = None
        if list(layers) == ["c_fc", "gelu", "c_proj"] and linear == ["c_fc", "c_proj"]:
            wide, narrow = (_product(layer.weight, layer.bias, dtype) for layer in (block.mlp.c_fc, block.mlp.c_proj))
            quick = type(block.mlp.gelu).__name__ == "QuickGELU"  # open_clip's or the `clip` package's
            self._mlp = wide, quick_gelu if quick else block.mlp.gelu, narrow

    def normed(self, x: Tensor) -> Tensor:
        """The attention's input, (A, D)."""
        return self._block.ln_1(x)

    def project(self, normed: Tensor, rows: slice = slice(None)) -> Tensor:
        """Queries, keys and values side by side, or some rows of that product. Shape: (A, 3 · D)"""
        weight, bias = self._in
        return self._linear(normed, Product(weight[rows], None if bias is None else bias[rows]))

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the block: output projection and MLP, with open_clip's layer scales where there are any.

        Args:
            x: the block's input, (A, D).
            attended: the attention's result before its output projection, (A, D).
        """
        block = self._block
        attended = self._linear(attended, self._out)
        x = x + (block.ls_1(attended) if hasattr(block, "ls_1") else attended)
        out = block.ln_2(x)
        if self._mlp is None:
            out = block.mlp(out)
        else:
            wide, activation, narrow = self._mlp
            out = self._linear(activation(self._linear(out, wide)), narrow)
        return x + (block.ls_2(out) if hasattr(block, "ls_2") else out)

    @staticmethod
    def _linear(x: Tensor, product: "Product") -> Tensor:
        return F.linear(x, *product)


class Product(NamedTuple):
    """Weight and bias of a linear layer."""

    weight: Tensor
    bias: Tensor | None


def _product(weight: Tensor, bias: Tensor | None, dtype: torch.dtype | None) -> Product:
    """A linear layer's tensors in one dtype; those that have it, or want a gradient, are the layer's own."""
    dtype = dtype or weight.dtype

    def cast(tensor: Tensor) -> Tensor:
        return tensor if tensor.dtype == dtype or tensor.requires_grad else tensor.detach().to(dtype)

    return Product(cast(weight), None if bias is None else cast(bias))
