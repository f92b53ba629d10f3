"""Cutting a class's images into train, val and test."""

import random
from collections.abc import Sequence
from typing import TypeVar

from lamm.errors import DataError

Image = TypeVar("Image")


def split_50_20_30(images: Sequence[Image], rng: random.Random) -> tuple[list[Image], list[Image], list[Image]]:
    """Shuffle the images of one class and cut them 50 / 20 / 30 %, as the benchmark's folder splitter does.

    Both counts are rounded to the nearest whole number, ties to even; test is the rest.

    Raises:
        DataError: a part would be empty.
    """
    shuffled = list(images)
    rng.shuffle(shuffled)
    in_train, in_val = round(0.5 * len(shuffled)), round(0.2 * len(shuffled))
    cut = in_train + in_val
    if not (in_train > 0 and in_val > 0 and cut < len(shuffled)):
        raise DataError(f"{len(shuffled)} images of a class are too few for a 50/20/30 % split; it needs at least 3")
    return shuffled[:in_train], shuffled[in_train:cut], shuffled[cut:]
