"""Features that are encoded in shares, one per process, and gathered with their gradients.

Every process computes the loss of the whole batch from the gathered features. On the way back `gather_shares` sums the
gradients of all processes for a share. So a process's parameters receive `size` times the gradient through its own
share, and once the gradient through what all processes compute alike. `average_gradients` turns that into the sum over
the shares and the mean of the equal parts: the gradient of one process that computes everything.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lamm.clip.shared_prefix import TextEncoder
from lamm.clip.text import Chunks
from lamm.engine.embedded.loader import EpochLoader, SeededIndex, SeededItems
from lamm.parallel.ranks import Ranks
from lamm.prompt_layout import Packing


def encoded_share(ranks: Ranks, count: int) -> range:
    """The part of `count` things that a process encodes: its share; if that is empty, one thing, to be dropped again.

    So every process has the same graph of operations, and a gradient (maybe zero) for the same parameters.
    """
    return ranks.share(count) or range(1)


def gather_shares(own: Tensor, count: int, ranks: Ranks, dim: int = 0) -> Tensor:
    """The features of all processes, with gradients; of size `count` in `dim`.

    Args:
        own: features of this process's `encoded_share`.
        count: number of things of all processes together.
        ranks: the processes.
        dim: the dimension along which the features are split.
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


def average_gradients(parameters: Iterable[Tensor], ranks: Ranks) -> None:
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
    """A process's part of a batch of images.

    Attributes:
        images: those of `encoded_share`, (at least 1, 3, H, W), or what stands in for them.
        whole: B, the number of images of the whole batch.
    """

    images: Any
    whole: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "ImageShare":
        """A copy on a device."""
        return ImageShare(self.images.to(device, non_blocking=non_blocking), self.whole)


class ShareLoader(EpochLoader):
    """Draws the same batches as another loader, and decodes only this process's images of each.

    A batch is {"img": ImageShare, "label": (B,), "index": (B,)}. The processes of a machine together have about as
    many workers as the other loader.

    Args:
        loader: a loader of images, whose data set is the engine's `DatasetWrapper`.
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
    """Returns whole batches: this process's share of the images, and all labels.

    Args:
        items: the engine's `DatasetWrapper`.
        ranks: the processes.
    """

    def __init__(self, items: Any, ranks: Ranks) -> None:
        super().__init__(items)
        self._ranks = ranks

    def __getitems__(self, chosen: Sequence[SeededIndex]) -> Any:
        """This process's view of the batch at these places."""
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
    """Encodes this process's share of the classes, and gathers the features of all.

    Args:
        encoder: does the work.
        ranks: the processes.
    """

    def __init__(self, encoder: TextEncoder, ranks: Ranks) -> None:
        self._encoder, self._ranks = encoder, ranks

    @property
    def chunks(self) -> Chunks:
        """How many prompts are encoded at a time."""
        return self._encoder.chunks

    @chunks.setter
    def chunks(self, chunks: Chunks) -> None:
        self._encoder.chunks = chunks

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
