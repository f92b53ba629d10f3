"""QuickGELU: the values and the derivative of x · σ(1.702 x)."""

import pytest
import torch
from open_clip.transformer import QuickGELU

from lamm.clip.prefix_attention import is_quick_gelu, quick_gelu


def test_values_and_gradients_are_those_of_the_definition() -> None:
    x = torch.linspace(-12, 12, 1001, dtype=torch.float64, requires_grad=True)
    sigmoid = 1 / (1 + torch.exp(-1.702 * x.detach()))
    y = quick_gelu(x)
    y.sum().backward()
    torch.testing.assert_close(y.detach(), x.detach() * sigmoid)
    torch.testing.assert_close(x.grad, sigmoid + 1.702 * x.detach() * sigmoid * (1 - sigmoid))


def test_the_derivative_is_that_of_finite_differences() -> None:
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(quick_gelu, (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_dtypes_stay_what_they_are(dtype: torch.dtype) -> None:
    x = torch.linspace(-4, 4, 101).to(dtype)
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(quick_gelu(x).float(), QuickGELU()(x.float()), atol=4 * step, rtol=4 * step)
    assert quick_gelu(x).dtype == dtype


def test_the_input_is_left_as_it_is() -> None:
    x = torch.randn(7)
    before = x.clone()
    quick_gelu(x)
    assert torch.equal(x, before)


def test_modules_are_told_by_their_class() -> None:
    assert is_quick_gelu(QuickGELU())
    assert not is_quick_gelu(torch.nn.GELU())
