"""What a data set tells of the sets of classes up to the current step of class-incremental learning."""

from collections.abc import Sequence
from dataclasses import dataclass

from lamm.engine import Datum


@dataclass(frozen=True)
class SeenSet:
    """One set of classes, with labels from 0, and the images that it is tested on.

    Attributes:
        class_names: in label order.
        val: validation images; there may be none.
        test: test images.
    """

    class_names: list[str]
    val: Sequence[Datum]
    test: Sequence[Datum]
