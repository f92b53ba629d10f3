"""Casts of frozen weights: made once, and made again when the weight changed."""

import torch
from torch import nn

from lamm.clip.prefix_attention import CastOnce

HALF = torch.bfloat16


def frozen(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape), requires_grad=False)


def test_a_frozen_weight_is_cast_once() -> None:
    cast, weight = CastOnce(), frozen(3, 4)
    assert torch.equal(cast(weight, HALF), weight.to(HALF))
    assert cast(weight, HALF) is cast(weight, HALF)
    assert cast(weight, torch.float16).dtype == torch.float16


def test_its_own_dtype_needs_no_cast() -> None:
    weight = frozen(3)
    assert CastOnce()(weight, torch.float32) is weight


def test_a_weight_that_was_written_to_or_replaced_is_cast_again() -> None:
    cast, weight = CastOnce(), frozen(3)
    cast(weight, HALF)
    weight.mul_(3)
    assert torch.equal(cast(weight, HALF), weight.to(HALF))
    weight.data = torch.randn(3)
    assert torch.equal(cast(weight, HALF), weight.to(HALF))


def test_a_weight_in_the_place_of_another_does_not_get_its_cast() -> None:
    cast = CastOnce()
    for _ in range(50):
        weight = frozen(3)
        assert torch.equal(cast(weight, HALF), weight.to(HALF))
        del weight


def test_a_weight_that_is_trained_gets_its_gradient() -> None:
    cast, weight = CastOnce(), nn.Parameter(torch.randn(3))
    for _ in range(2):
        cast(weight, HALF).float().sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [2, 2, 2]


def test_a_cast_made_under_inference_mode_serves_training() -> None:
    cast, weight, x = CastOnce(), frozen(3), torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        cast(weight, HALF)
    (x * cast(weight, HALF).float()).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, weight.to(HALF).float())
