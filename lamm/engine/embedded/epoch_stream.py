"""Worker processes that stay from one pass to the next, and start on the next one before it is asked for.

What the next pass draws from the generators can be told as long as nobody else draws in between: it is drawn on
trial, the generators are put back, and the workers get its batches behind those of the current pass. Where the guess
turns out wrong, what was loaded is dropped, and nothing is guessed any more.
"""

import functools
import gc
import inspect
import os
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from torch.utils.data import DataLoader

from lamm.engine.embedded.epoch_plan import EpochPlan
from lamm.engine.embedded.item_seeds import SeededIndex, generator_states, generators_kept, restore_generators


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
