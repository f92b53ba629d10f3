"""Base and new classes: the halves of a data set's labels in the benchmark's base-to-new protocol."""

import math
from collections.abc import Sequence

from lamm.datasets.splits import Split, SplitItem
from lamm.errors import ConfigError, DataError
from lamm.suggest import unknown_name

SUBSETS = ("all", "base", "new")


def check_subset(subset: str) -> None:
    """Raise ConfigError unless `subset` is `all`, `base` or `new`."""
    if subset not in SUBSETS:
        raise ConfigError("DATASET.SUBSAMPLE_CLASSES: " + unknown_name("class subset", subset, SUBSETS))


def select_classes(split: Split, subset: str) -> Split:
    """Keep the classes of one half and number them from 0.

    Of the n labels in `train`, in ascending order, `base` is the first ceil(n / 2) and `new` the rest. Order of the
    images and class names stay.

    Args:
        split: the split, after few-shot sampling.
        subset: `all` (the split as it is), `base` or `new`.

    Raises:
        ConfigError: another subset.
        DataError: the subset has no class (`new` of a single class).
    """
    check_subset(subset)
    if subset == "all":
        return split
    labels = sorted({item.label for item in split.train})
    half = math.ceil(len(labels) / 2)
    chosen = labels[:half] if subset == "base" else labels[half:]
    if not chosen:
        raise DataError(
            f'{len(labels)} class in all: the subset "{subset}" has none; use DATASET.SUBSAMPLE_CLASSES all'
        )
    new_label = {old: new for new, old in enumerate(chosen)}
    return Split(*(_relabelled(part, new_label) for part in (split.train, split.val, split.test)))


def _relabelled(items: Sequence[SplitItem], new_label: dict[int, int]) -> list[SplitItem]:
    return [item._replace(label=new_label[item.label]) for item in items if item.label in new_label]
