"""Items whose random numbers come from a seed of their own, whoever loads them."""

import functools
import gc
import inspect
import os
import random
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

# Position in the data set, and the seed of the random numbers that loading it draws.
SeededIndex = tuple[int, int]


class SeededItems(Dataset[Any]):
    """A data set whose items are asked for with a seed.

    Python's, NumPy's and torch's (CPU) generators are seeded for each item and put back as they were afterwards.

    Args:
        items: Any data set with `__getitem__` and `__len__`.
    """

    def __init__(self, items: Any) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, chosen: SeededIndex) -> Any:
        return self.__getitems__([chosen])[0]

    def __getitems__(self, chosen: Sequence[SeededIndex]) -> list[Any]:
        """The items of a batch; torch's loader calls this where it exists."""
        with generators_kept(), one_thread():
            return [self._item(index, seed) for index, seed in chosen]

    def _item(self, index: int, seed: int) -> Any:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        return self._items[index]


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch work in one thread, as in a worker process: an image is small, and waiting for others costs more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put Python's, NumPy's and torch's (CPU) generators back in the end to where they were in the beginning."""
    states = generator_states()
    try:
        yield
    finally:
        restore_generators(states)


def generator_states() -> tuple[Any, ...]:
    """Where the three generators are."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def restore_generators(states: tuple[Any, ...]) -> None:
    """Put the three generators where they were."""
    python, numpy, pytorch = states
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(pytorch)


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one pass, and the seed of what its images draw at random.

    Iterating gives for each batch its positions in the data set, each with a seed of its own.

    Attributes:
        seed: Decides on the seeds of all images.
        batches: Positions in the data set.
    """

    seed: int
    batches: list[list[int]]

    @classmethod
    def draw(cls, batch_sampler: Iterable[list[int]]) -> "EpochPlan":
        """The next pass.

        torch's generator gives up the same numbers in the same order as to a plain torch loader with worker
        processes: the loader's seed, then what the sampler draws.
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


class Feed:
    """The batches that the workers are asked for: those of one pass, then of the passes that are foreseen.

    Args:
        batch_sampler: What a pass is drawn from.
    """

    def __init__(self, batch_sampler: Iterable[list[int]]) -> None:
        self._batch_sampler = batch_sampler
        self._plan = EpochPlan(0, [])
        self._guessing = True
        self._guesses: deque[EpochPlan] = deque()
        self._states_after_guesses: tuple[Any, ...] = ()

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        yield from self._plan
        while self._guessing:
            yield from self._guess()

    def goes_on_with(self, plan: EpochPlan) -> bool:
        """Whether the pass that has just been drawn is the one foreseen, so that the workers are at it already."""
        if not self._guesses:
            return False
        self._guessing = self._guesses.popleft() == plan
        return self._guessing

    def start_with(self, plan: EpochPlan) -> None:
        """Begin anew with this pass."""
        self._guesses.clear()
        self._plan = plan

    def _guess(self) -> EpochPlan:
        with generators_kept():
            if self._guesses:
                restore_generators(self._states_after_guesses)
            guess = EpochPlan.draw(self._batch_sampler)
            self._states_after_guesses = generator_states()
        self._guesses.append(guess)
        return guess


class EpochStream:
    """The batches of pass after pass out of one loader with persistent workers.

    Nothing in it refers to itself: it ends, and its workers with it, when the last reference is gone.

    Args:
        batch_sampler: What a pass is drawn from.
    """

    def __init__(self, batch_sampler: Iterable[list[int]]) -> None:
        _leave_garbage_to_the_parent()
        self._feed = Feed(batch_sampler)
        self._loader: DataLoader[Any] | None = None
        self._loaded: Any = None
        self._left = 0  # batches that the current pass still has to give
        self._current: Callable[[], Generator[Any, None, None] | None] = lambda: None

    @property
    def is_busy(self) -> bool:
        """Whether somebody is in the middle of a pass."""
        current = self._current()
        return self._left > 0 and current is not None and inspect.getgeneratorstate(current) != inspect.GEN_CLOSED

    def run(self, plan: EpochPlan, make_loader: Callable[[Iterable[Any]], DataLoader[Any]]) -> Iterator[Any]:
        """Begin a pass; one that was broken off before is over.

        Args:
            plan: As it has just been drawn.
            make_loader: From the batches to load, which it may go through several times, to a loader whose workers
                are persistent.
        """
        if self._left > 0 or not self._feed.goes_on_with(plan):
            self._feed.start_with(plan)
            if self._loader is None:
                self._loader = make_loader(self._feed)
            self._loaded = iter(self._loader)  # where workers run already, drops what they have loaded
        self._left = len(plan)
        batches = self._batches()
        self._current = weakref.ref(batches)
        return batches

    def _batches(self) -> Generator[Any, None, None]:
        while self._left:
            try:
                batch = next(self._loaded)
            except BaseException as error:
                loaded, self._loaded, self._loader = self._loaded, None, None
                stop_workers(loaded)
                raise error.with_traceback(None)  # noqa: B904
            self._left -= 1
            yield batch


def batches_of(loader: DataLoader[Any]) -> Iterator[Any]:
    """One pass over a loader, begun at once, whose workers an error stops."""
    return _batches_of(iter(loader))


def _batches_of(loaded: Iterator[Any]) -> Generator[Any, None, None]:
    while True:
        try:
            batch = next(loaded)
        except StopIteration:
            return
        except BaseException as error:
            stop_workers(loaded)
            raise error.with_traceback(None)  # noqa: B904
        yield batch


def stop_workers(loaded: Any) -> None:
    """Stop the workers of a torch loader's iterator.

    After an error of a worker they would stay: torch's traceback refers to itself and to the iterator, and has to be
    left out of the error as well. The garbage collector may find the two in a thread that stopping the workers needs,
    which takes torch five seconds each.
    """
    stop = getattr(loaded, "_shutdown_workers", None)
    if stop is not None:
        stop()


@functools.cache
def _leave_garbage_to_the_parent() -> None:
    """Have forked processes never collect what they inherit: one that collected a loader would stop its workers."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=gc.freeze)


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
