"""A loader whose batches are the same for any number of worker processes."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from lamm.engine.embedded.epoch_plan import EpochPlan
from lamm.engine.embedded.epoch_stream import EpochStream, batches_of
from lamm.engine.embedded.item_seeds import SeededItems


class EpochLoader(DataLoader[Any]):
    """torch's `DataLoader`, but that order and augmentation depend on the state of torch's generator alone.

    A pass draws from the generators of this process as torch's loader with workers does, all of it when the pass
    begins; each image is then loaded with a seed of its own, wherever that happens (`SeededItems`).

    Args:
        dataset: With `__getitem__` and `__len__`.
        keeps_workers: The worker processes stay from one pass to the next and start on it early.
        options: Of torch's loader, which must make batches.
    """

    def __init__(self, dataset: Any, keeps_workers: bool = False, **options: Any) -> None:
        super().__init__(dataset, **options)
        self._keeps_workers = keeps_workers
        self._stream: EpochStream | None = None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        assert self.batch_sampler is not None, "EpochLoader needs a batch size"
        plan = EpochPlan.draw(self.batch_sampler)
        if not self._keeps_workers or self.num_workers == 0:
            return batches_of(self._plain_loader(plan))
        if self._stream is None:
            self._stream = EpochStream(self.batch_sampler)
        if self._stream.is_busy:  # a pass within a pass
            return batches_of(self._plain_loader(plan))
        return self._stream.run(plan, functools.partial(self._plain_loader, persistent_workers=True))

    def _plain_loader(self, batches: Iterable[Any], **options: Any) -> DataLoader[Any]:
        return DataLoader(
            self._items(),
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            pin_memory=self.pin_memory,
            timeout=self.timeout,
            worker_init_fn=self.worker_init_fn,
            multiprocessing_context=self.multiprocessing_context,
            prefetch_factor=self.prefetch_factor,
            generator=torch.Generator(),  # of its own: what torch draws for the workers is not drawn from this process
            **options,
        )

    def _items(self) -> SeededItems:
        """What the workers take their batches from."""
        return SeededItems(self.dataset)
