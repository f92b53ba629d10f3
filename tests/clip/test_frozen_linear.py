"""Frozen linear layers are torch's, whichever product computes them."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lamm.clip import frozen_linear
from lamm.clip.frozen_linear import WIDE, FrozenLinear, InferenceLinear

NEAR = {torch.float32: 2e-6, torch.bfloat16: 2e-2}
HAS_ONEDNN = frozen_linear.onednn_linear is not None
takes_onednn = pytest.mark.skipif(not HAS_ONEDNN, reason="this torch has no oneDNN")


@pytest.fixture(params=[WIDE, 24], ids=["wide", "narrow"])
def size(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def result(layer: Any, x: torch.Tensor, with_gradient: bool) -> list[torch.Tensor]:
    """The layer's output and, if asked for, the gradient of its input."""
    x = x.clone().requires_grad_(with_gradient)
    out = layer(x)
    return [out.detach(), *(torch.autograd.grad(out, [x], random(*out.shape, seed=1).to(out)) if with_gradient else ())]


@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("rows", [slice(None), slice(0, 8), slice(8, None)])
@pytest.mark.parametrize("biased", [True, False])
def test_output_and_gradient_are_those_of_torch(size: int, dtype: torch.dtype, rows: slice, biased: bool) -> None:
    weight, x = random(2 * size, size) / size**0.5, random(5, 3, size)
    bias = random(2 * size) if biased else None
    layer = FrozenLinear(weight, bias, dtype)
    ours = result(lambda x: layer(x, rows), x.to(dtype), with_gradient=True)
    expected = result(lambda x: F.linear(x, weight[rows], None if bias is None else bias[rows]), x, with_gradient=True)
    for got, reference in zip(ours, expected, strict=True):
        assert got.dtype == dtype
        assert (got.float() - reference).norm() <= NEAR[dtype] * reference.norm()


@pytest.mark.parametrize("dtype", NEAR)
def test_without_a_gradient_the_output_is_the_same(size: int, dtype: torch.dtype) -> None:
    layer, x = FrozenLinear(random(size, size), random(size), dtype), random(4, size).to(dtype)
    (trained,) = result(layer, x, with_gradient=True)[:1]
    with torch.inference_mode():
        assert torch.equal(layer(x), trained)


@pytest.mark.parametrize("by", [pytest.param("onednn", marks=takes_onednn), "torch"])
@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize(
    ("activation", "expected"), [("", torch.nn.Identity()), ("gelu", torch.nn.GELU()), ("silu", torch.nn.SiLU())]
)
def test_in_inference_a_layer_has_its_activation_behind_it(
    monkeypatch: pytest.MonkeyPatch, size: int, dtype: torch.dtype, activation: str, expected: torch.nn.Module, by: str
) -> None:
    if by == "torch":
        monkeypatch.setattr(frozen_linear, "onednn_linear", None)
    weight, bias, x = random(2 * size, size) / size**0.5, random(2 * size), random(5, 3, size)
    layer = InferenceLinear(torch.nn.Parameter(weight), torch.nn.Parameter(bias), dtype)
    reference = expected(F.linear(x, weight, bias))
    with torch.no_grad():
        for one in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            for rows in (slice(None), slice(0, 8)):
                away = one(x.to(dtype), rows, activation).float() - reference[..., rows]
                assert away.norm() <= NEAR[dtype] * reference.norm()
    if by == "onednn":
        in_one = partial(layer, activation=activation)
        assert operators_of(in_one, x.to(dtype)) == {"mkldnn._linear_pointwise"}


def test_factors_go_into_weights_that_are_cast(size: int) -> None:
    weight, bias, x = random(size, size) / size**0.5, random(size), random(4, size)
    ours = FrozenLinear(weight, bias, torch.bfloat16, (2.0, 0.5))(x.bfloat16())
    torch.testing.assert_close(ours.float(), F.linear(x, 2 * weight, 0.5 * bias), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", NEAR)
def test_a_layer_is_copied_and_stored(size: int, dtype: torch.dtype) -> None:
    layer, x = FrozenLinear(random(size, size), random(size), dtype), random(4, size).to(dtype)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))


def test_rows_first_used_in_inference_mode_serve_training(size: int) -> None:
    layer, x = FrozenLinear(random(size, size), random(size), torch.bfloat16), random(4, size)
    with torch.inference_mode():
        layer(x, slice(0, 8))
    _, gradient = result(lambda x: layer(x, slice(0, 8)), x, with_gradient=True)
    assert gradient.dtype == torch.float32
    assert gradient.abs().sum() > 0


@takes_onednn
@pytest.mark.parametrize("size", [WIDE], indirect=True)
def test_a_weight_that_is_trained_gets_its_gradient(size: int) -> None:
    weight = torch.nn.Parameter(random(size, size))
    layer = FrozenLinear(weight, None)
    for _ in range(2):  # in evaluation first, then in training
        with torch.no_grad():
            layer(random(4, size), slice(0, 8))
        layer(random(4, size), slice(0, 8)).sum().backward()
    assert weight.grad is not None
    assert weight.grad[:8].abs().sum() > 0
    assert weight.grad[8:].abs().sum() == 0


def test_a_bias_that_is_trained_gets_its_gradient(size: int) -> None:
    bias = torch.nn.Parameter(random(size))
    FrozenLinear(random(size, size), bias)(random(4, size)).sum().backward()
    assert bias.grad is not None
    assert torch.equal(bias.grad, torch.full((size,), 4.0))


@takes_onednn
def test_onednn_takes_wide_layers_only_and_no_fp16() -> None:
    wide, narrow = torch.ones(WIDE, WIDE), torch.ones(WIDE, WIDE - 1)
    assert [FrozenLinear._suits(weight, torch.float32) for weight in (wide, narrow)] == [True, False]
    assert [InferenceLinear._suits(weight, torch.float32) for weight in (wide, narrow)] == [True, True]
    assert not FrozenLinear._suits(wide, torch.float16)
    assert not InferenceLinear._suits(wide, torch.float16)


def operators_of(layer: Callable[[torch.Tensor], Any], x: torch.Tensor) -> set[str]:
    with OperatorNames() as names:
        layer(x)
    return names.seen


class OperatorNames(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(str(op.overloadpacket))
        return op(*args, **(kwargs or {}))


@takes_onednn
@pytest.mark.parametrize("dtype", NEAR)
def test_an_export_and_a_weight_that_is_trained_later_take_torchs_product(dtype: torch.dtype) -> None:
    weight, x = torch.nn.Parameter(random(WIDE, WIDE), requires_grad=False), random(4, WIDE)
    layer = FrozenLinear(weight, None, dtype)
    before = layer(x.to(dtype))
    assert "mkldnn._linear_pointwise" in operators_of(layer, x.to(dtype))

    class Module(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return layer(x)

    exported = torch.export.export(Module(), (x.to(dtype),), strict=False)
    assert "mkldnn" not in str(exported.graph)
    torch.testing.assert_close(exported.module()(x.to(dtype)), before, rtol=0.02, atol=0.02 * before.abs().max().item())
    weight.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        layer(x).sum().backward()
    assert weight.grad is not None
