"""Linear layers with frozen weights, for training and for inference alone.

On a CPU they take oneDNN's product, which needs less time than `F.linear`.

torch's compiler calls oneDNN by the operators below, which have no other name. Where they are missing or take no such
weights, `F.linear` stands in; results differ by rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WIDE = 512
"""Inputs and outputs of a layer from which on oneDNN takes it in fp32 as it is: of narrower ones it is no faster."""

# Activation behind a layer → how oneDNN's operator calls it, and torch's own.
ACTIVATIONS: dict[str, tuple[tuple[str, list[float], str], Any]] = {
    "": (("none", [], ""), None),
    "gelu": (("gelu", [], "none"), F.gelu),  # not approximated
    "silu": (("swish", [], ""), partial(F.silu, inplace=True)),
}


class FrozenLinear:
    """x · Wᵀ + b, in the dtype that products run in.

    bf16 weights are laid out once as oneDNN wants them, for each of the two passes.

    Args:
        weight: W, (out, in), in any floating dtype. While it or the bias wants a gradient, `F.linear` takes them.
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
        self._source, self._source_bias = weight, bias
        self._dtype, self._factors = dtype or weight.dtype, factors
        self._suits_onednn = self._suits(weight, self._dtype)
        # Of what oneDNN takes, the plain cast is never read.
        self._weight = None if self._suits_onednn else self._cast(weight, factors[0])
        self._bias = None if bias is None else self._cast(bias, factors[1])
        self._laid_out: dict[bool, Tensor] = {}  # whether it is Wᵀ, for the backward pass → as oneDNN wants it
        self._parts: dict[tuple[int | None, int | None], FrozenLinear] = {}

    def __reduce__(self) -> Any:
        # oneDNN's layout can't be copied or stored.
        return type(self), (self._source, self._source_bias, self._dtype, self._factors)

    def __call__(self, x: Tensor, rows: slice = slice(None)) -> Tensor:
        """The result, or some of its outputs."""
        source, bias = self._source, self._source_bias
        trained = source.requires_grad or (bias is not None and bias.requires_grad)
        if self._suits_onednn and not (trained or source.device.type != "cpu" or exporting()):
            return _FrozenLinear.apply(x, self._part(rows))  # type: ignore[no-any-return]
        return self._by_torch(x, rows)

    def _by_torch(self, x: Tensor, rows: slice) -> Tensor:
        weight = self._cast(self._source, self._factors[0]) if self._weight is None else self._weight
        return F.linear(x, weight[rows], None if self._bias is None else self._bias[rows])

    def _part(self, rows: slice) -> "FrozenLinear":
        """The layer with some of its outputs; made once."""
        if rows == slice(None):
            return self
        key = rows.start, rows.stop
        if key not in self._parts:
            bias = None if self._source_bias is None else self._source_bias[rows]
            with _usable_in_training():
                self._parts[key] = type(self)(self._source[rows], bias, self._dtype, self._factors)
        return self._parts[key]

    def by_onednn(self, x: Tensor, backward: bool = False, activation: str = "") -> Tensor:
        """The whole result, (…, out); of the backward pass the gradient of the input, (…, in), from that of the result.

        No gradient is recorded.
        """
        weight, bias = self._weight_for(backward), None if backward else self._bias
        return onednn_linear(x.to(self._dtype), weight, bias, *ACTIVATIONS[activation][0])  # type: ignore[no-any-return]

    def _weight_for(self, backward: bool) -> Tensor:
        """W, or Wᵀ for the backward pass.

        In fp32 a layout of its own would save little, and need the memory twice; of a narrow weight that is little.
        """
        wide = min(self._source.shape) >= WIDE
        if self._dtype == torch.float32 == self._source.dtype and wide:
            return self._source.t() if backward else self._source
        if backward not in self._laid_out:
            with _usable_in_training():
                weight = self._cast(self._source, self._factors[0])
                weight = weight.t().contiguous() if backward else weight
                own_layout = self._dtype == torch.bfloat16 or not wide
                self._laid_out[backward] = _reorder(weight, None) if own_layout else weight
        return self._laid_out[backward]

    @staticmethod
    def _suits(weight: Tensor, dtype: torch.dtype) -> bool:
        """Whether oneDNN's product of a weight in this dtype is the faster one on a CPU."""
        return _onednn_takes(weight, dtype) and (dtype == torch.bfloat16 or min(weight.shape) >= WIDE)

    def _cast(self, tensor: Tensor, factor: float) -> Tensor:
        if tensor.dtype == self._dtype or tensor.requires_grad:
            return tensor
        tensor = tensor.detach()
        return (tensor if factor == 1 else tensor * factor).to(self._dtype)


class InferenceLinear(FrozenLinear):
    """The same without a gradient, if wanted with an activation behind it, both in one pass over memory by oneDNN.

    oneDNN takes narrow layers too, whose fp32 weights are laid out once and held twice then.
    """

    def __call__(self, x: Tensor, rows: slice = slice(None), activation: str = "") -> Tensor:
        """activation(x · Wᵀ + b), or some of its outputs; the activation is one of `ACTIVATIONS`."""
        assert not (x.requires_grad and torch.is_grad_enabled()), "its result has no gradient"
        if self._suits_onednn and self._source.device.type == "cpu":
            return self._part(rows).by_onednn(x, activation=activation)
        out, (_, activate) = self._by_torch(x, rows), ACTIVATIONS[activation]
        return out if activate is None else activate(out)  # type: ignore[no-any-return]

    @staticmethod
    def _suits(weight: Tensor, dtype: torch.dtype) -> bool:
        return _onednn_takes(weight, dtype)

    def _cast(self, tensor: Tensor, factor: float) -> Tensor:
        return super()._cast(tensor.detach(), factor)


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FrozenLinear) -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        return layer.by_onednn(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.by_onednn(gradient, backward=True).to(ctx.dtype), None


def _operator(name: str) -> Any:
    """An operator of torch's for oneDNN; None: this torch lacks it."""
    return getattr(torch.ops.mkldnn, name, None) if torch.backends.mkldnn.is_available() else None


onednn_linear = _operator("_linear_pointwise")
_reorder = _operator("_reorder_linear_weight")
_has_bf16 = _operator("_is_mkldnn_bf16_supported")


def exporting() -> bool:
    """Whether the operators are being recorded by an exporter, which knows torch's own alone."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _onednn_takes(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether oneDNN's operators are here, and take a weight in this dtype."""
    if onednn_linear is None or _reorder is None or weight.device.type != "cpu":
        return False
    if dtype == torch.bfloat16:
        return _has_bf16 is not None and bool(_has_bf16())
    return dtype == torch.float32


@contextmanager
def _usable_in_training() -> Iterator[None]:
    """Make tensors that later steps can use, also where this is called in inference mode."""
    with torch.inference_mode(False), torch.no_grad():
        yield
