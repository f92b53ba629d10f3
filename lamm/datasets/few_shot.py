"""Few-shot sampling, image for image as the CoOp-family benchmark draws it.

The benchmark seeds Python's global `random` with the run's seed, and nothing draws from it before the data set is
built; so a fresh `random.Random(seed)` is in the same state and gives the same picks, and the global generator
stays untouched.
"""

import random
from array import array
from collections.abc import Sequence

from lamm.datasets.splits import Split, SplitItem

MOST_VAL_SHOTS = 4


def sample_shots(items: Sequence[SplitItem], shots: int, rng: random.Random) -> list[SplitItem]:
    """Draw `shots` images of each class.

    Classes come in the order of their first image in the list, not of their labels. A class with fewer than `shots`
    images is taken whole, in list order, and consumes nothing of `rng`.

    Args:
        items: a train or val list; its order decides the draw.
        shots: images a class, at least 1.
        rng: the generator to draw from; its state moves on.

    Returns:
        The picks, class by class, each class in the order drawn.
    """
    classes: dict[int, array[int]] = {}
    for place, item in enumerate(items):
        classes.setdefault(item.label, array("L")).append(place)
    picks: list[SplitItem] = []
    for group in classes.values():
        picks += [items[place] for place in (rng.sample(group, shots) if len(group) >= shots else group)]
    return picks


def few_shot_split(split: Split, shots: int, rng: random.Random) -> Split:
    """A split with `shots` training and at most 4 validation images a class; `test` stays whole.

    Train is drawn first and val with what `rng` is left with, so one can't be drawn without the other.
    """
    train = sample_shots(split.train, shots, rng)
    val = sample_shots(split.val, min(shots, MOST_VAL_SHOTS), rng)
    return Split(train=train, val=val, test=split.test)


def generator_of(seed: int) -> random.Random:
    """The generator that the picks of `seed` come from; -1 is unseeded."""
    return random.Random(seed) if seed >= 0 else random.Random()
