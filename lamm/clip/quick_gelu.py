"""CLIP's activation, x · σ(1.702 x), with one pass over the data in the backward direction in place of five."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
