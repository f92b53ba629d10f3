"""What one pass over a loader consists of, drawn before its first image is loaded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from lamm.engine.embedded.item_seeds import SeededIndex


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
