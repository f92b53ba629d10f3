"""A frozen residual attention block of a text tower, run in parts.

Letters: A positions, D width.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.cast_once import CastOnce
from lamm.clip.quick_gelu import is_quick_gelu, quick_gelu

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
