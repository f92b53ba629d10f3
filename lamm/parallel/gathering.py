"""Features that each process has a share of, gathered with their gradients.

Every process computes the loss of the whole batch from the gathered features. `gather_shares` sums the gradients of
all processes for a share on its way back, so what reaches a process's parameters is `size` times the gradient through
its own share, once that through what all of them compute alike; `average_gradients` makes of it the sum of the
shares and the mean of the equal parts: the gradient of one process that computes everything.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lamm.parallel.ranks import Ranks


def encoded_share(ranks: Ranks, count: int) -> range:
    """What a process encodes of `count` things: its share; one thing, to be left out again, where that is empty.

    So every process has the same graph of operations, and a gradient, if a zero one, for the same parameters.
    """
    return ranks.share(count) or range(1)


def gather_shares(own: Tensor, count: int, ranks: Ranks, dim: int = 0) -> Tensor:
    """The features of all processes, from those of `encoded_share`. `count` long in `dim`.

    Args:
        own: features of this process's share.
        count: things of all processes together.
        ranks: the processes.
        dim: the dimension that is shared out.
    """
    if not ranks.many:
        return own
    own = own.narrow(dim, 0, len(ranks.share(count)))
    gathered: Tensor = _Gather.apply(own, count, ranks, dim)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, count: int, ranks: Ranks, dim: int) -> Tensor:
        ctx.share, ctx.ranks, ctx.dim = ranks.share(count), ranks, dim
        return ranks.gather(own.movedim(dim, 0), count).movedim(0, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        summed = ctx.ranks.sum(gradients[0].clone(memory_format=torch.contiguous_format))
        return summed.narrow(ctx.dim, ctx.share.start, len(ctx.share)), None, None, None


def average_gradients(parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
    """Replace each gradient by its mean over the processes, in one exchange."""
    if not ranks.many:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    mean = ranks.sum(torch.cat([gradient.flatten() for gradient in gradients])) / ranks.size
    for gradient, part in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
