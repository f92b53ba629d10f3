"""A loader whose batches are the same for any number of worker processes.

torch's `DataLoader` seeds each worker by itself, so the augmentation depends on how many there are. Here a pass draws
all it needs from the generators of this process when it begins (`EpochPlan`): the order of the images and a seed for
each. Whoever loads an image does so with its seed (`SeededItems`).

Workers that are kept also start on the next pass before it begins. What that pass will draw is foreseen by drawing it
from copies of the generators; if anything else draws from them in the meantime, the passes differ, the batches loaded
too early are dropped and the right ones loaded. So the result never depends on what was foreseen.
"""

import functools
import gc
import math
import os
import random
import shutil
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from yacs.config import CfgNode as CN

from lamm.engine.embedded.datum import Datum
from lamm.errors import LammError
from lamm.images import opened
from lamm.log import logger
from lamm.memory import usable_cores

# Position in the data set, and the seed of the random numbers that loading it draws.
SeededIndex = tuple[int, int]


class EpochLoader(DataLoader[Any]):
    """torch's `DataLoader`, but that order and augmentation depend on the state of torch's generator alone.

    Args:
        dataset: With `__getitem__` and `__len__`.
        keeps_workers: The worker processes stay from one pass to the next and start on it early.
        options: Of torch's loader, which must make batches.
    """

    def __init__(self, dataset: Any, keeps_workers: bool = False, **options: Any) -> None:
        super().__init__(dataset, **options)
        self._keeps_workers = keeps_workers
        self._stream: _Stream | None = None
        self._through: Callable[[Iterable[Any]], Iterable[Any]] | None = None

    @property
    def through(self) -> Callable[[Iterable[Any]], Iterable[Any]] | None:
        """What the loaded batches go through, such as an encoder that works ahead; None: nothing.

        Persistent workers, or this process where there are none, then start on the next pass as early as it asks.
        Setting it begins anew, without what has been loaded ahead.
        """
        return self._through

    @through.setter
    def through(self, through: Callable[[Iterable[Any]], Iterable[Any]] | None) -> None:
        self._through, self._stream = through, None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        assert self.batch_sampler is not None, "EpochLoader needs a batch size"
        plan = EpochPlan.draw(self.batch_sampler)
        if self._keeps_workers and (self.num_workers > 0 or self._through is not None):
            if self._stream is None or self._stream.current.failed:
                feed = Feed(self.batch_sampler)
                self._stream = _Stream(feed, self._plain_loader(feed, persistent_workers=self.num_workers > 0))
            if not self._stream.is_busy:
                return self._stream.start(plan)
        return Pass(iter(self._plain_loader(plan)))

    def _plain_loader(self, batches: Iterable[Any], **options: Any) -> Iterable[Any]:
        loader: DataLoader[Any] = DataLoader(
            self._items(),
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            collate_fn=self.collate_fn,
            pin_memory=self.pin_memory,
            timeout=self.timeout,
            worker_init_fn=self.worker_init_fn,
            multiprocessing_context=self.multiprocessing_context,
            prefetch_factor=self.prefetch_factor,
            generator=torch.Generator(),  # its own: what torch draws for the workers is not drawn from this process
            **options,
        )
        return loader if self._through is None else self._through(loader)

    def _items(self) -> "SeededItems":
        """What the workers take their batches from."""
        return SeededItems(self.dataset)


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one pass, as positions in the data set, and the seed that all images' seeds are drawn with.

    Iterating gives for each batch its positions, each with a seed of its own.
    """

    seed: int
    batches: list[list[int]]

    @classmethod
    def draw(cls, batch_sampler: Iterable[list[int]]) -> "EpochPlan":
        """The next pass.

        torch's generator gives the same numbers in the same order as to a plain torch loader with worker processes:
        the loader's seed, then what the sampler draws.
        """
        seed = int(torch.empty((), dtype=torch.int64).random_().item())
        return cls(seed, [list(batch) for batch in batch_sampler])

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        generator = torch.Generator().manual_seed(self.seed)
        for batch in self.batches:
            seeds = torch.empty(len(batch), dtype=torch.int64).random_(generator=generator).tolist()
            yield list(zip(batch, seeds, strict=True))


class SeededItems(Dataset[Any]):
    """A data set whose items are asked for with a seed.

    Python's, NumPy's and torch's (CPU) generators are seeded for each item and restored afterwards.
    """

    def __init__(self, items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, chosen: SeededIndex) -> Any:
        return self.__getitems__([chosen])[0]

    def __getitems__(self, chosen: Sequence[SeededIndex]) -> list[Any]:
        """The items of a batch; torch's loader calls this where it exists."""
        with cpu_states_restored(), _one_thread():
            items = []
            for index, seed in chosen:
                random.seed(seed)
                np.random.seed(seed % 2**32)
                torch.default_generator.manual_seed(seed)
                items.append(self._items[index])
            return items


@contextmanager
def cpu_states_restored() -> Iterator[None]:
    """Leave Python's, NumPy's and torch's CPU generator in the end as they were in the beginning."""
    states = cpu_states()
    try:
        yield
    finally:
        restore_cpu_states(states)


def cpu_states() -> tuple[Any, ...]:
    """The states of the three generators, for this process."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def restore_cpu_states(states: tuple[Any, ...]) -> None:
    """Continue the three generators from what `cpu_states` gave."""
    python, numpy, pytorch = states
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(pytorch)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have torch work in one thread, as in a worker process: an image is small, and waiting for others costs more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Pass(Iterator[Any]):
    """Some or all batches of a torch loader's iterator; an error stops its workers.

    Attributes:
        left: Batches that are still to come.
        failed: An error came out; the iterator can't be used any more.
    """

    def __init__(self, loaded: Any, batches: float = math.inf) -> None:
        self._loaded, self.left, self.failed = loaded, batches, False

    def __next__(self) -> Any:
        if self.failed or self.left == 0:
            raise StopIteration
        try:
            batch = next(self._loaded)
        except StopIteration:
            raise
        except BaseException as error:
            # The workers would stay: torch's traceback refers to itself and to the iterator, and has to be left out
            # of the error as well. The garbage collector may find the two in a thread that stopping the workers
            # needs, which takes torch five seconds each.
            self.failed = True
            if hasattr(self._loaded, "_shutdown_workers"):
                self._loaded._shutdown_workers()
            self._loaded = None
            with worker_errors():
                raise error.with_traceback(None)  # noqa: B904
        self.left -= 1
        return batch


@contextmanager
def worker_errors() -> Iterator[None]:
    """Say in one line that a worker process of torch's loader was killed.

    Raises:
        LammError: one was.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise LammError(
            "a process that loads images was killed, perhaps for want of memory: start fewer with "
            "DATALOADER.NUM_WORKERS (--workers of lamm predict); 0 loads in the main process"
        ) from None


class Feed:
    """The batches that a stream loads: those of one pass, then of the passes that are foreseen."""

    def __init__(self, batch_sampler: Iterable[list[int]]) -> None:
        self._batch_sampler = batch_sampler
        self._plan = EpochPlan(0, [])
        self._foreseeing = True
        self._foreseen: deque[EpochPlan] = deque()
        self._states_after: tuple[Any, ...] = ()  # of the generators, after the last plan foreseen

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        yield from self._plan
        while self._foreseeing:
            with cpu_states_restored():
                if self._foreseen:
                    restore_cpu_states(self._states_after)
                plan = EpochPlan.draw(self._batch_sampler)
                self._states_after = cpu_states()
            self._foreseen.append(plan)
            yield from plan

    def start_with(self, plan: EpochPlan) -> None:
        """Begin anew with this pass."""
        self._foreseen.clear()
        self._plan = plan

    def goes_on_with(self, plan: EpochPlan) -> bool:
        """Whether the pass that has just been drawn is the one foreseen, so that the workers are at it already.

        If it is not, something draws between passes, and no further pass is foreseen.
        """
        if not self._foreseen:
            return False
        self._foreseeing = self._foreseen.popleft() == plan
        return self._foreseeing


class _Stream:
    """Pass after pass out of one loader, which takes its batches from `feed`; its workers, if any, are persistent.

    Nothing in it refers to itself: it ends, and its workers with it, when the last reference is gone.
    """

    def __init__(self, feed: Feed, loader: Iterable[Any]) -> None:
        _leave_garbage_to_the_parent()
        self._feed, self._loader = feed, loader
        self._loaded: Any = None
        self.current = Pass(None, 0)
        self._user: Any = lambda: None  # what goes through the current pass, as long as somebody holds it

    @property
    def is_busy(self) -> bool:
        """Whether somebody is in the middle of a pass."""
        return self.current.left > 0 and self._user() is not None

    def start(self, plan: EpochPlan) -> Iterator[Any]:
        """Begin a pass, as it has just been drawn; one that was broken off before is over."""
        if self.current.left > 0 or not self._feed.goes_on_with(plan):
            self._feed.start_with(plan)
            self._loaded = iter(self._loader)  # where workers run already, drops what they have loaded
        self.current = Pass(self._loaded, len(plan))
        batches = (batch for batch in self.current)
        self._user = weakref.ref(batches)
        return batches


@functools.cache
def _leave_garbage_to_the_parent() -> None:
    """Have forked processes never collect what they inherit: one that collected a loader would stop its workers."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=gc.freeze)


SIZED = -1
"""`DATALOADER.NUM_WORKERS` that means: as many as suit the machine and the images."""

MOST = 8
"""Workers that `SIZED` gives at most."""

BEYOND_USE = 64
"""Workers that may be asked for on any machine."""


def worker_count(cfg: CN, data_source: Sequence[Datum], batch_size: int) -> int:
    """`DATALOADER.NUM_WORKERS`, or where that is `SIZED` what suits the machine and the images.

    The batches are the same for any number.

    Args:
        cfg: The config; INPUT.SIZE and DATALOADER are read.
        data_source: The images of the split.
        batch_size: Images per batch.
    """
    options = cfg.DATALOADER
    if options.NUM_WORKERS != SIZED:
        return bounded_workers(int(options.NUM_WORKERS))
    height, width = cfg.INPUT.SIZE
    pixels_out = height * width * options.K_TRANSFORMS
    if _mean_pixels(data_source) + pixels_out < 10_000:  # most of the time is not spent on pixels
        return 0
    batches = -(-len(data_source) // batch_size)
    batch_bytes = min(batch_size, len(data_source)) * pixels_out * 3 * 4  # RGB, four bytes each
    workers = min(MOST, usable_cores(), batches)
    shared_memory = "/dev/shm"  # a container may have little of it
    if not os.path.isdir(shared_memory):
        return workers
    free = shutil.disk_usage(shared_memory).free
    fitting = free // (3 * batch_bytes)  # of each worker's batches, two are loaded ahead and one is on its way
    if fitting < 1:
        logger.info(
            "%s has %d MB left, too little for workers: loading in this process; give a container a larger --shm-size",
            shared_memory,
            free // 2**20,
        )
    return min(workers, int(fitting))


def bounded_workers(asked: int) -> int:
    """A number of worker processes, at most `BEYOND_USE` or four per core: more would only exhaust the machine."""
    most = max(BEYOND_USE, 4 * usable_cores())
    if asked > most:
        logger.info("%d worker processes were asked for, %d are started: the batches are the same", asked, most)
    return min(asked, most)


def _mean_pixels(data_source: Sequence[Datum]) -> float:
    """Width × height, the mean over four images from all over the split."""
    pixels = []
    for item in data_source[:: -(-len(data_source) // 4)]:
        with suppress(Exception), opened(item.impath) as image:  # a broken one is reported when it is loaded
            pixels.append(image.width * image.height)
    return sum(pixels) / len(pixels) if pixels else 250_000  # a photo's
