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

from lamm.clip.frozen_linear import FrozenLinear
from lamm.prompt_layout import Packing

KNOWN_PARTS = {"ln_1", "attn", "ls_1", "ln_2", "mlp", "ls_2"}  # of a residual block
SLOPE = 1.702  # of QuickGELU


class KeysValues(NamedTuple):
    """What one block's attention keeps of the prefix, (G, H, P, C) each."""

    keys: Tensor
    values: Tensor


class HeadRows:
    """The way from label positions side by side, (G · S, K · D), to those of each head, (K, G, H, N, T, C), and back.

    K parts are beside each other, such as queries, keys and values. Both ways are a table of rows of C numbers,
    which is made once. Padding gets another position's rows; what is made of them is masked or left out.

    Args:
        packing: where the label positions of all groups stand, G · N classes.
        groups, heads: G and H.

    Attributes:
        sizes: G, H, N, T.
        padding: whether a position stands behind its class's end token, (G, 1, N, T).
        later: which positions of its own class a position must not attend to, (T, T).
    """

    def __init__(self, packing: Packing, groups: int, heads: int) -> None:
        self.sizes = groups, heads, len(packing) // groups, packing.length
        self.padding, self.later = packing.padding.unflatten(0, (groups, 1, -1)), packing.later
        self._filled, self._head = packing.filled, torch.arange(heads, device=packing.filled.device)
        # The place of each position among the filled ones; of padding, that of its class's first position.
        filled = ~packing.padding
        first = packing.last + 1 - filled.sum(1)
        place = first[:, None] + filled * torch.arange(packing.length, device=filled.device)
        self._place = place.view_as(self.padding)
        self._to_heads: dict[int, Tensor] = {}
        self._from_heads: dict[int, Tensor] = {}

    @classmethod
    def of(cls, packing: Packing, groups: int, heads: int) -> "HeadRows":
        """Those of a packing, which keeps them."""
        key = groups, heads
        if key not in packing.head_rows:
            packing.head_rows[key] = cls(packing, groups, heads)
        return packing.head_rows[key]

    # Tables that were made in inference mode could not be used in training later.

    @torch.inference_mode(False)
    def to_heads(self, parts: int) -> Tensor:
        """For each position by head the number of its packed row, (K · G · H · N · T,)."""
        if parts not in self._to_heads:
            part = self._numbers(parts)[:, None, None, None, None]
            rows = (self._place * parts + part) * len(self._head) + self._head[:, None, None]  # (K, G, H, N, T)
            self._to_heads[parts] = rows.flatten().int()
        return self._to_heads[parts]

    @torch.inference_mode(False)
    def from_heads(self, parts: int) -> Tensor:
        """For each packed row the number of its position by head, (G · S · K · H,)."""
        if parts not in self._from_heads:
            groups, heads, classes, length = self.sizes
            filled = self._filled[:, None, None]
            group, place = filled // (classes * length), filled % (classes * length)
            part = self._numbers(parts)[:, None]
            rows = ((part * groups + group) * heads + self._head) * classes * length + place  # (G · S, K, H)
            self._from_heads[parts] = rows.flatten().int()
        return self._from_heads[parts]

    def _numbers(self, count: int) -> Tensor:
        return torch.arange(count, device=self._head.device)


def attend(packed: Tensor, shared: KeysValues, rows: HeadRows, query: Tensor | None = None) -> Tensor:
    """Attention of label positions: softmax(Q · Kᵀ / √C) · V over the prefix and their own class.

    Args:
        packed: queries, keys and values of all label positions side by side, (G · S, 3 · D); with `query`, keys and
            values alone, (G · S, 2 · D).
        shared: of the prefix.
        rows: where the label positions stand.
        query: of the end tokens, where they alone ask, (G · N, D).

    Returns:
        (G · A, D)
    """
    keys, values = (part.to(packed.dtype) for part in shared)
    return _Attention.apply(packed, query, keys, values, rows)


class _Attention(torch.autograd.Function):
    """`attend`, with a backward pass that copies each tensor as rarely as the forward pass.

    U is T where all positions ask, and 1 where end tokens alone do. Scores with the prefix are one product for all
    classes of a group, scores with the own class one for each class and head:

        O = W_prefix · V_prefix + W_own · V_own,    [W_prefix | W_own] = softmax([Q · K_prefixᵀ | Q · K_ownᵀ] / √C)
    """

    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, query: Tensor | None, shared_keys: Tensor, shared_values: Tensor, rows: HeadRows
    ) -> Tensor:
        prefix_length, size = shared_keys.shape[2:]
        with torch.autocast(packed.device.type, enabled=False):
            parts = 3 if query is None else 2
            by_head = _rows(packed, rows.to_heads(parts), size).view(parts, *rows.sizes, size)
            keys, values = by_head[-2:]
            asking = by_head[0] if query is None else _ends_by_head(query, keys)  # (G, H, N, U, C)
            # Scores, (G, H, N, U, P) and (G, H, N, U, T), and one softmax over both.
            to_prefix = torch.bmm(_groups(asking), shared_keys.flatten(0, 1).mT).view(*asking.shape[:4], -1)
            to_own = torch.bmm(_classes(asking), _classes(keys).mT).view(*asking.shape[:4], -1)
            to_own.masked_fill_(rows.later if query is None else rows.padding[..., None, :], float("-inf"))
            wide = torch.promote_types(packed.dtype, torch.float32)
            weights = torch.softmax(torch.cat([to_prefix, to_own], dim=4).to(wide).mul_(size**-0.5), dim=4)
            if query is None:
                weights.masked_fill_(rows.padding[..., None], 0)  # padding asks nothing, and so gets no gradient
            of_prefix, of_own = weights.to(packed.dtype).tensor_split([prefix_length], dim=4)
            attended = torch.bmm(_groups(of_prefix), shared_values.flatten(0, 1)).view_as(asking)
            _add_product(_classes(attended), _classes(of_own), _classes(values))
        if any(ctx.needs_input_grad):
            ctx.all_ask = query is None
            tables = rows.to_heads(1), rows.from_heads(parts)
            ctx.save_for_backward(by_head, asking, shared_keys, shared_values, weights, *tables)
        if query is not None:
            return _ends_packed(attended)
        return _rows(attended, rows.from_heads(1), size).view(len(packed), -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_head, asking, shared_keys, shared_values, weights, to_heads, from_heads = ctx.saved_tensors
        keys, values = by_head[-2:]
        prefix_length, size = shared_keys.shape[2:]
        of_prefix, of_own = weights.to(gradient.dtype).tensor_split([prefix_length], dim=4)
        with torch.autocast(gradient.device.type, enabled=False):
            by_row = _rows(gradient, to_heads, size) if ctx.all_ask else _ends_by_head(gradient, keys)
            gradient = by_row.view_as(asking)  # (G, H, N, U, C)
            to_prefix = torch.bmm(_groups(gradient), shared_values.flatten(0, 1).mT).view_as(of_prefix)
            to_own = torch.bmm(_classes(gradient), _classes(values).mT).view_as(of_own)
            of_weights = torch.cat([to_prefix, to_own], dim=4).to(weights.dtype)
            scores = torch.ops.aten._softmax_backward_data(of_weights, weights, 4, weights.dtype).mul_(size**-0.5)
            to_prefix, to_own = scores.to(gradient.dtype).tensor_split([prefix_length], dim=4)
            # Every product is written to where it belongs.
            of_packed = torch.empty_like(by_head)
            of_asking = of_packed[0] if ctx.all_ask else torch.empty_like(asking)
            torch.bmm(_groups(to_prefix), shared_keys.flatten(0, 1), out=_groups(of_asking))
            _add_product(_classes(of_asking), _classes(to_own), _classes(keys))
            torch.bmm(_classes(to_own).mT, _classes(asking), out=_classes(of_packed[-2]))
            torch.bmm(_classes(of_own).mT, _classes(gradient), out=_classes(of_packed[-1]))
            of_keys = of_values = None
            if ctx.needs_input_grad[2]:
                of_keys = torch.bmm(_groups(to_prefix).mT, _groups(asking)).view_as(shared_keys)
            if ctx.needs_input_grad[3]:
                of_values = torch.bmm(_groups(of_prefix).mT, _groups(gradient)).view_as(shared_values)
        of_query = None if ctx.all_ask else _ends_packed(of_asking)
        of_packed = _rows(of_packed, from_heads, size).view(-1, len(by_head) * keys.shape[1] * size)
        return of_packed, of_query, of_keys, of_values, None


def _rows(tensor: Tensor, table: Tensor, size: int) -> Tensor:
    """Some rows of `size` numbers that lie behind each other in a tensor. Shape: (len(table), size)"""
    return tensor.reshape(-1, size).index_select(0, table)


def _add_product(total: Tensor, one: Tensor, other: Tensor) -> None:
    """Add products of matrices in place. Of `baddbmm_` torch's counter of operations does not know."""
    torch.baddbmm(total, one, other, out=total)


def _groups(by_head: Tensor) -> Tensor:
    """(G, H, N, U, ·) with all positions of a group and a head under each other. Shape: (G · H, N · U, ·)"""
    return by_head.flatten(2, 3).flatten(0, 1)


def _classes(by_head: Tensor) -> Tensor:
    """(G, H, N, U, ·) with the positions of each class and head by themselves. Shape: (G · H · N, U, ·)"""
    return by_head.flatten(0, 2)


def _ends_by_head(packed: Tensor, keys: Tensor) -> Tensor:
    """End tokens (G · N, D) by head, like keys (G, H, N, T, C). Shape: (G, H, N, 1, C)"""
    groups, heads, classes, _, size = keys.shape
    return packed.reshape(groups, classes, heads, size).transpose(1, 2).contiguous()[:, :, :, None]


def _ends_packed(by_head: Tensor) -> Tensor:
    """The opposite of `_ends_by_head`."""
    return by_head[:, :, :, 0].transpose(1, 2).flatten(0, 1).flatten(1)


def quick_gelu(x: Tensor) -> Tensor:
    """x · σ(1.702 x); as SiLU it is silu(z) / 1.702 with z = 1.702 x, so its derivative is silu'(z)."""
    return _QuickGELU.apply(x)


def is_quick_gelu(activation: nn.Module) -> bool:
    """Whether it is open_clip's QuickGELU, or that of the `clip` package."""
    return type(activation).__name__ == "QuickGELU"


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
    its memory, on a CPU once more where there is a backward pass.

    Args:
        block: one for which `unknown_parts` is None.
        dtype: of autocast; None: the weights stay as they are.
    """

    layer: Callable[..., FrozenLinear] = FrozenLinear

    def __init__(self, block: Any, dtype: torch.dtype | None = None) -> None:
        self._block = block
        self.heads: int = block.attn.num_heads
        self._in = self.layer(block.attn.in_proj_weight, block.attn.in_proj_bias, dtype)
        self._out = self.layer(block.attn.out_proj.weight, block.attn.out_proj.bias, dtype)
        parts = dict(block.mlp.named_children())
        linear = [name for name, part in parts.items() if type(part) is nn.Linear]
        known = list(parts) == ["c_fc", "gelu", "c_proj"] and linear == ["c_fc", "c_proj"]
        self._mlp = self._mlp_layers(block.mlp, dtype) if known else [block.mlp]

    def _mlp_layers(self, mlp: Any, dtype: torch.dtype | None) -> list[Callable[[Tensor], Tensor]]:
        """What the MLP does, one after the other."""
        wide, narrow = (self.layer(part.weight, part.bias, dtype) for part in (mlp.c_fc, mlp.c_proj))
        return [wide, quick_gelu if is_quick_gelu(mlp.gelu) else mlp.gelu, narrow]

    def normed(self, x: Tensor) -> Tensor:
        """The attention's input, (A, D)."""
        return self._block.ln_1(x)

    def project(self, normed: Tensor, rows: slice = slice(None)) -> Tensor:
        """Queries, keys and values side by side, or some rows of that product. Shape: (A, 3 · D)"""
        return self._in(normed, rows)

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the block: output projection and MLP, with open_clip's layer scales where there are any.

        Args:
            x: the block's input, (A, D).
            attended: the attention's result before its output projection, (A, D).
        """
        block = self._block
        attended = self._out(attended)
        x = x + (block.ls_1(attended) if hasattr(block, "ls_1") else attended)
        out = block.ln_2(x)
        for layer in self._mlp:
            out = layer(out)
        return x + (block.ls_2(out) if hasattr(block, "ls_2") else out)
