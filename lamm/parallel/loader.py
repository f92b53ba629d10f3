"""Loaders of which each process decodes its share of every batch.

All processes draw the same batches, from generators in the same state, and each image comes with a seed of its own
for what is random about it, so it is the same whoever decodes it. The labels are those of the whole batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lamm.engine.embedded.epoch_loader import EpochLoader
from lamm.engine.embedded.item_seeds import SeededIndex, SeededItems
from lamm.parallel.gathering import encoded_share
from lamm.parallel.ranks import Ranks


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
