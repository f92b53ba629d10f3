"""Items whose random numbers come from a seed of their own, whoever loads them."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

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
