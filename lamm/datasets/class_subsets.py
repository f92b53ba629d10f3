"""Parts of a data set's classes: base and new classes (the benchmark's base-to-new protocol), and the sets of classes
that class-incremental learning takes one after the other.
"""

from collections.abc import Sequence
from itertools import pairwise

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
    base, new = _consecutive(_labels(split), 2)
    chosen = base if subset == "base" else new
    if not chosen:
        raise DataError(f'{len(base)} class in all: the subset "{subset}" has none; use DATASET.SUBSAMPLE_CLASSES all')
    return _with_classes(split, chosen)


def class_sets(split: Split, sets: int) -> list[Split]:
    """Cut a split into sets of classes, each with labels from 0.

    The labels in `train`, in ascending order, are cut into consecutive parts whose sizes differ by one at most, the
    larger ones first; two of them are `base` and `new` of `select_classes`.

    Args:
        split: the split, after few-shot sampling.
        sets: how many.

    Raises:
        ConfigError: more sets than classes.
    """
    labels = _labels(split)
    if sets > len(labels):
        raise ConfigError(
            f"INCREMENTAL.STEPS is {sets}, but there are {len(labels)} classes: at most one step for each"
        )
    return [_with_classes(split, chosen) for chosen in _consecutive(labels, sets)]


def class_names(split: Split) -> list[str]:
    """The class names of a split's training images, in label order."""
    name_of = {item.label: item.classname for item in split.train}
    return [name_of[label] for label in sorted(name_of)]


def _labels(split: Split) -> list[int]:
    return sorted({item.label for item in split.train})


def _consecutive(labels: list[int], parts: int) -> list[list[int]]:
    size, larger = divmod(len(labels), parts)
    ends = [size * number + min(number, larger) for number in range(parts + 1)]
    return [labels[start:end] for start, end in pairwise(ends)]


def _with_classes(split: Split, chosen: Sequence[int]) -> Split:
    new_label = {old: new for new, old in enumerate(chosen)}
    return Split(*(_relabelled(part, new_label) for part in (split.train, split.val, split.test)))


def _relabelled(items: Sequence[SplitItem], new_label: dict[int, int]) -> list[SplitItem]:
    return [item._replace(label=new_label[item.label]) for item in items if item.label in new_label]
