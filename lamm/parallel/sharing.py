"""Features that each process has a share of, gathered with their gradients.

Every process computes the loss of the whole batch from the gathered features. `gather_shares` sums the gradients of
all processes for a share on its way back, so what reaches a process's parameters is `size` times the gradient through
its own share, once that through what all of them compute alike; `average_gradients` makes of it the sum of the
shares and the mean of the equal parts: the gradient of one process that computes everything.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lamm.clip.shared_prefix import TextEncoder
from lamm.engine.embedded.loader import EpochLoader, SeededIndex, SeededItems
from lamm.parallel.ranks import Ranks
from lamm.prompt_layout import Packing


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


class ImageShare(NamedTuple):
    """What a process has of a batch of images.

    Attributes:
        images: those of `encoded_share`, (at least 1, 3, H, W).
        whole: B, images of the whole batch.
    """

    images: Tensor
    whole: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "ImageShare":
        """The same on a device."""
        return ImageShare(self.images.to(device, non_blocking=non_blocking), self.whole)


class ShareLoader(EpochLoader):
    """Draws the batches of another loader, and decodes this process's images of each.

    A batch is {"img": ImageShare, "label": (B,), "index": (B,)}. The processes of a machine have together about as
    many workers as the other loader has.

    Args:
        loader: of images, its data set the engine's `DatasetWrapper`.
        ranks: the processes.
    """

    def __init__(self, loader: EpochLoader, ranks: Ranks) -> None:
        super().__init__(
            loader.dataset,
            keeps_workers=loader._keeps_workers,
            batch_sampler=loader.batch_sampler,
            num_workers=-(-loader.num_workers // ranks.local_size),
            collate_fn=_as_it_is,
            pin_memory=loader.pin_memory,
        )
        self._ranks = ranks

    def _items(self) -> SeededItems:
        return BatchShares(self.dataset, self._ranks)


class BatchShares(SeededItems):
    """Gives whole batches: the images are this process's share, the labels are all.

    Args:
        items: the engine's `DatasetWrapper`.
        ranks: the processes.
    """

    def __init__(self, items: Any, ranks: Ranks) -> None:
        super().__init__(items)
        self._ranks = ranks

    def __getitems__(self, chosen: Sequence[SeededIndex]) -> Any:
        """One process's view of the batch at these places."""
        own = encoded_share(self._ranks, len(chosen))
        items = super().__getitems__(chosen[own.start : own.stop])
        data = self._items.data_source
        return {
            "img": ImageShare(torch.stack([item["img"] for item in items]), len(chosen)),
            "label": torch.tensor([data[place].label for place, _ in chosen]),
            "index": torch.tensor([place for place, _ in chosen]),
        }


def _as_it_is(batch: Any) -> Any:
    return batch


class SharedOutTextEncoder:
    """Encodes this process's share of the classes, and gathers those of the others.

    Args:
        encoder: does the work.
        ranks: the processes.
    """

    def __init__(self, encoder: TextEncoder, ranks: Ranks) -> None:
        self._encoder, self._ranks = encoder, ranks

    @property
    def chunk(self) -> int:
        """Prompts that training encodes at a time (`encode_in_chunks`)."""
        return self._encoder.chunk

    @chunk.setter
    def chunk(self, prompts: int) -> None:
        self._encoder.chunk = prompts

    def encode(
        self,
        prefix: Tensor,
        labels: Tensor,
        end: Tensor,
        deep: Sequence[Tensor] = (),
        packing: Packing | None = None,
    ) -> Tensor:
        """Text features of all classes, in fp32; arguments as `PlainTextEncoder.encode`. Shape: (G, N, E)"""
        own = encoded_share(self._ranks, len(labels))
        part = slice(own.start, own.stop)
        features = self._encoder.encode(prefix, labels[part], end[part], deep, packing and packing[part])
        return gather_shares(features.float(), len(labels), self._ranks, dim=1)
