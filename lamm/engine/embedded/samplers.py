"""The order in which a loader visits the images of a split."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import RandomSampler, Sampler, SequentialSampler
from yacs.config import CfgNode as CN

from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.errors import ChoiceError

SAMPLER_NAMES = ("RandomSampler", "SequentialSampler", "RandomClassSampler")


class RandomClassSampler(Sampler[int]):
    """Batches of `batch_size // n_ins` classes with `n_ins` images each.

    Each class's images are shuffled and cut into groups of `n_ins`; the rest waits for the next pass. A class with
    fewer images than that fills one group by drawing with replacement. A batch takes one group from each of
    several classes, those with the most groups left first, at random among equals; so every pass has the same
    length.

    Args:
        data_source: The images of the split.
        batch_size: Images a batch.
        n_ins: Images a class in a batch.

    Raises:
        ChoiceError: (a ValueError) `n_ins` is below 1 or above `batch_size`.
    """

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_ins: int) -> None:
        if not 1 <= n_ins <= batch_size:
            raise ChoiceError(f"N_INS has to lie between 1 and BATCH_SIZE ({batch_size}), got {n_ins}")
        self.n_ins = n_ins
        self.positions: defaultdict[int, list[int]] = defaultdict(list)
        for position, item in enumerate(data_source):
            self.positions[item.label].append(position)
        self.classes_per_batch = min(batch_size // n_ins, len(self.positions))
        self.batches = self._count_batches()

    def _count_batches(self) -> int:
        groups = [max(1, len(positions) // self.n_ins) for positions in self.positions.values()]
        batches = 0
        while groups and sum(min(n, batches + 1) for n in groups) >= (batches + 1) * self.classes_per_batch:
            batches += 1
        return batches

    def _groups(self, positions: list[int]) -> list[list[int]]:
        if len(positions) < self.n_ins:
            return [random.choices(positions, k=self.n_ins)]
        shuffled = random.sample(positions, len(positions))
        last_start = len(positions) - self.n_ins
        return [shuffled[start : start + self.n_ins] for start in range(0, last_start + 1, self.n_ins)]

    def __iter__(self) -> Iterator[int]:
        left = {label: self._groups(positions) for label, positions in self.positions.items()}
        for _ in range(self.batches):
            labels = random.sample(list(left), len(left))
            labels.sort(key=lambda label: len(left[label]), reverse=True)
            for label in labels[: self.classes_per_batch]:
                yield from left[label].pop()

    def __len__(self) -> int:
        return self.batches * self.classes_per_batch * self.n_ins


def build_sampler(
    sampler_type: str,
    cfg: CN | None = None,
    data_source: Sequence[Datum] | None = None,
    batch_size: int = 32,
    n_domain: int = 0,
    n_ins: int = 16,
) -> Sampler[Any]:
    """Build a sampler by name.

    Args:
        sampler_type: One of `SAMPLER_NAMES`.
        cfg: Not needed by these samplers.
        data_source: The images of the split.
        batch_size: Images a batch.
        n_domain: Not needed by these samplers.
        n_ins: Images a class in a batch of RandomClassSampler.

    Raises:
        ChoiceError: (a ValueError) the name is unknown.
    """
    items = data_source or ()
    if sampler_type == "RandomSampler":
        return RandomSampler(items)
    if sampler_type == "SequentialSampler":
        return SequentialSampler(items)
    if sampler_type == "RandomClassSampler":
        return RandomClassSampler(items, batch_size, n_ins)
    raise ChoiceError(f"Unknown sampler type: {sampler_type}; known: {', '.join(SAMPLER_NAMES)}")
