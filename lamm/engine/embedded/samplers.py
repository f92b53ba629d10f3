"""Which images make a batch: samplers by name, torch's and those over domains."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import RandomSampler, Sampler, SequentialSampler
from yacs.config import CfgNode as CN

from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.registry import ChoiceError

SAMPLER_NAMES = ("RandomSampler", "SequentialSampler", "RandomDomainSampler", "SeqDomainSampler")


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
        batch_size: Images per batch.
        n_domain: Domains per batch of RandomDomainSampler.
        n_ins: Not needed by these samplers.

    Raises:
        ChoiceError: (a ValueError) the name is unknown.
    """
    items = data_source or ()
    if sampler_type == "RandomSampler":
        return RandomSampler(items)
    if sampler_type == "SequentialSampler":
        return SequentialSampler(items)
    if sampler_type == "RandomDomainSampler":
        return RandomDomainSampler(items, batch_size, n_domain)
    if sampler_type == "SeqDomainSampler":
        return SeqDomainSampler(items, batch_size)
    raise ChoiceError(f"Unknown sampler type: {sampler_type}; known: {', '.join(SAMPLER_NAMES)}")


class RandomDomainSampler(Sampler[int]):
    """Batches of `n_domain` domains with `batch_size // n_domain` images each, no image twice in a pass.

    A batch takes the domains with the most images left, at random among equals; so every pass has the same length.

    Args:
        data_source: The images of the split.
        batch_size: Images per batch.
        n_domain: Domains per batch; below 1: all of them.

    Raises:
        ChoiceError: (a ValueError) the split has fewer domains, or they can't share a batch evenly.
    """

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_domain: int = 0) -> None:
        self.positions: defaultdict[int, list[int]] = defaultdict(list)
        for position, item in enumerate(data_source):
            self.positions[item.domain].append(position)
        self.n_domain = n_domain if n_domain > 0 else len(self.positions)
        if self.n_domain > len(self.positions) or batch_size % self.n_domain:
            raise ChoiceError(
                f"N_DOMAIN {self.n_domain} has to divide BATCH_SIZE {batch_size}, for {len(self.positions)} domains"
            )
        self.n_img = batch_size // self.n_domain
        groups = [len(positions) // self.n_img for positions in self.positions.values()]
        self.batches = 0
        while sum(min(n, self.batches + 1) for n in groups) >= (self.batches + 1) * self.n_domain:
            self.batches += 1

    def chosen(self, left: dict[int, list[int]]) -> list[int]:
        """The domains of the next batch, in its order, from the positions left in each."""
        domains = random.sample(list(left), len(left))
        domains.sort(key=lambda domain: len(left[domain]) // self.n_img, reverse=True)
        return domains[: self.n_domain]

    def __iter__(self) -> Iterator[int]:
        left = {domain: random.sample(positions, len(positions)) for domain, positions in self.positions.items()}
        for _ in range(self.batches):
            for domain in self.chosen(left):
                yield from left[domain][: self.n_img]
                del left[domain][: self.n_img]

    def __len__(self) -> int:
        return self.batches * self.n_domain * self.n_img


class SeqDomainSampler(RandomDomainSampler):
    """Batches with the same number of random images from every domain, domain after domain."""

    def __init__(self, data_source: Sequence[Datum], batch_size: int) -> None:
        super().__init__(data_source, batch_size)

    def chosen(self, left: dict[int, list[int]]) -> list[int]:
        return list(left)
