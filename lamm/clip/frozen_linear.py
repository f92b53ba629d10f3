"""Linear layers with frozen weights; on a CPU by oneDNN's product, which takes up to a sixth less time than `F.linear`.

torch's compiler calls oneDNN by the two operators below, which have no other name. Where they are missing or take no
such weights, `F.linear` stands in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WIDE = 512
"""Inputs and outputs of a layer from which on oneDNN takes it in fp32: of narrower ones it is no faster."""


class FrozenLinear:
    """x · Wᵀ + b, in the dtype that products run in.

    bf16 weights are laid out once as oneDNN wants them, for each of the two passes.

    Args:
        weight: W, (out, in), in any floating dtype. One that wants a gradient is no frozen one: it is used as it is.
        bias: b, (out,), or None.
        dtype: of the products; None: that of the weight.
        factors: what W and b are multiplied by where they are cast to another dtype.

    Shape:
        (…, in) → (…, out)
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype | None = None,
        factors: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self._source, self._source_bias, self._dtype, self._factors = weight, bias, dtype or weight.dtype, factors
        self._weight = self._cast(weight, factors[0])
        self._bias = None if bias is None else self._cast(bias, factors[1])
        self._onednn = _takes(self._weight) and not any(t.requires_grad for t in (weight, bias) if t is not None)
        if self._onednn:
            self._weight = _laid_out(self._weight)
        self._turned: Tensor | None = None  # Wᵀ, for the backward pass
        self._parts: dict[tuple[int | None, int | None], FrozenLinear] = {}

    def __reduce__(self) -> Any:
        # oneDNN's layout can't be copied or stored.
        return FrozenLinear, (self._source, self._source_bias, self._dtype, self._factors)

    def __call__(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        """The result, or some of its outputs."""
        if not self._onednn:
            return F.linear(x, self._weight[rows], None if self._bias is None else self._bias[rows])
        return _FrozenLinear.apply(x, self if rows == slice(None) else self._part(rows))  # type: ignore[no-any-return]

    def _part(self, rows: slice) -> "FrozenLinear":
        """The layer with some of its outputs; made once."""
        key = rows.start, rows.stop
        if key not in self._parts:
            bias = None if self._source_bias is None else self._source_bias[rows]
            with _usable_in_training():
                self._parts[key] = FrozenLinear(self._source[rows], bias, self._dtype, self._factors)
        return self._parts[key]

    def forward(self, x: Tensor) -> Tensor:
        """The whole result, (…, out), without a gradient; by oneDNN."""
        return _multiply(x.to(self._dtype), self._weight, self._bias)

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient of the input, (…, in), from that of the result; by oneDNN."""
        if self._turned is None:
            with _usable_in_training():
                self._turned = _laid_out(self._cast(self._source, self._factors[0]).t())
        return _multiply(gradient.to(self._dtype), self._turned, None)

    def _cast(self, tensor: Tensor, factor: float) -> Tensor:
        same = tensor.dtype == self._dtype or tensor.requires_grad
        return tensor if same else (tensor.detach() * factor).to(self._dtype)


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FrozenLinear) -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        return layer.forward(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.backward(gradient).to(ctx.dtype), None


def _operator(name: str) -> Any:
    """An operator of torch's for oneDNN; None: this torch lacks it."""
    return getattr(torch.ops.mkldnn, name, None) if torch.backends.mkldnn.is_available() else None


_linear, _reorder, _has_bf16 = map(
    _operator, ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
)


def _takes(weight: Tensor) -> bool:
    """Whether oneDNN's product is the faster one. An exporter knows torch's alone."""
    if _linear is None or weight.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    if weight.dtype == torch.bfloat16:
        return _reorder is not None and _has_bf16 is not None and bool(_has_bf16())
    return weight.dtype == torch.float32 and min(weight.shape) >= WIDE


def _laid_out(weight: Tensor) -> Tensor:
    """As oneDNN wants it. In fp32 that would save little, and all weights would be there twice."""
    return _reorder(weight.detach().contiguous(), None) if weight.dtype == torch.bfloat16 else weight.detach()


@contextmanager
def _usable_in_training() -> Iterator[None]:
    """Make tensors that later steps can use, also where this is called in inference mode."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return _linear(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]
