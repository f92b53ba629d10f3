"""Split files: which image belongs to train, val or test, with its label and class name.

The benchmark's format: one JSON object with the keys `train`, `val`, `test`, each a list of
`[path, label, class name]`. A path is relative to the data set's image folder, with forward slashes. The order of
a list counts: few-shot sampling depends on it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from json.encoder import encode_basestring_ascii
from os import PathLike
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamm.errors import ConfigError, DataError, unknown_name
from lamm.files import write_text
from lamm.reading import json_object, read_bytes

if TYPE_CHECKING:
    from lamm.engine import Datum  # slow to import, and not needed to read a split


class SplitItem(NamedTuple):
    """One image: POSIX path relative to the image folder, 0-based label, class name."""

    path: str
    label: int
    classname: str


@dataclass(frozen=True)
class Split:
    """The three lists of a data set, in file order."""

    train: Sequence[SplitItem]
    val: Sequence[SplitItem]
    test: Sequence[SplitItem]

    def items(self) -> Iterator[SplitItem]:
        """All images, train first, then val, then test."""
        return itertools.chain(self.train, self.val, self.test)


PARTS = ("train", "val", "test")
LARGEST_LABEL = 10**18
SPLIT_SEED = 1
"""Of the splits that are made here."""


def read_split(path: str | PathLike[str]) -> Split:
    """Read and check a split file.

    Raises:
        DataError: the file is missing or unreadable, is not JSON, or an entry is not `[path, label, class name]` with
            a path that stays inside the image folder.
    """
    try:
        content = json_object(read_bytes(path), **dict.fromkeys(PARTS, list))
    except FileNotFoundError:
        raise DataError(f"no split file at {path}; put it there or give another data root") from None
    except OSError as error:
        raise DataError(f"can't read the split file {path}: {error.strerror}") from None
    except ValueError as error:
        keys = ", ".join(PARTS)
        raise DataError(
            f"{path} is not a split file, a JSON object with the lists {keys} ({error}); fetch or write it again"
        ) from None
    parts = ((part, enumerate(content[part])) for part in PARTS)
    return Split(*([checked_item(entry, f"{path}, {part}[{i}]") for i, entry in entries] for part, entries in parts))


def checked_item(entry: Any, where: str) -> SplitItem:
    """An entry of a split as an item; its path gets forward slashes and no `.` and `..`.

    Args:
        entry: path, label, class name.
        where: where it stands, for the message.

    Raises:
        DataError: it is not such a triple, or the path could leave the image folder.
    """
    if not isinstance(entry, list | tuple) or len(entry) != 3:
        raise DataError(f"{where}: expected [path, label, class name], found {json.dumps(entry)[:80]}")
    path, label, classname = entry
    if not is_text(path):
        raise DataError(f"{where}: the path {json.dumps(path)[:80]} is not a file name")
    clean = posixpath.normpath(path.replace("\\", "/"))
    if clean.startswith("/") or PureWindowsPath(clean).drive:
        raise DataError(f'{where}: the path "{path[:80]}" is absolute; it must be relative to the image folder')
    if clean == "." or clean.split("/")[0] == "..":
        raise DataError(f'{where}: the path "{path[:80]}" leaves the image folder')
    is_number = isinstance(label, float) and label.is_integer()
    if is_number or (isinstance(label, str) and label.isdecimal() and len(label) < 10):
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label <= LARGEST_LABEL:
        raise DataError(f"{where}: the label {json.dumps(label)[:80]} is not a whole number from 0")
    if not is_text(classname):
        raise DataError(f"{where}: the class name {json.dumps(classname)[:80]} is not a text with letters")
    return SplitItem(clean, label, classname)


def is_text(value: Any) -> bool:
    """Whether `value` is a string that is not blank and can be written as UTF-8, without the NUL of no file name."""
    return isinstance(value, str) and bool(value.strip()) and not re.search("[\0\ud800-\udfff]", value)


def split_as_text(split: Split) -> str:
    """The text of the split's file, character for character as the benchmark writes it."""
    return json.dumps({part: getattr(split, part) for part in PARTS}, indent=4, separators=(",", ": "))


def write_split(path: str | PathLike[str], split: Split) -> None:
    """Write a split file (atomically)."""
    write_text(path, split_as_text(split))


def hash_of_split(split: Split) -> str:
    """SHA-256 (hexadecimal) of `split_as_text`; white space and key order of a split's file don't matter.

    The text is made and hashed one image at a time: that of ImageNet would take hundreds of megabytes.
    """
    digest, between = hashlib.sha256(b"{"), ",\n            "
    for part in PARTS:
        digest.update(f'{"" if part == PARTS[0] else ","}\n    "{part}": ['.encode())
        separator = ""
        for path, label, classname in getattr(split, part):
            fields = (encode_basestring_ascii(path), str(label), encode_basestring_ascii(classname))
            digest.update(f"{separator}\n        [\n            {between.join(fields)}\n        ]".encode())
            separator = ","
        digest.update(b"\n    ]" if separator else b"]")
    digest.update(b"\n}")
    return digest.hexdigest()


def check_labels(split: Split, source: str | PathLike[str]) -> None:
    """Check that labels are 0, 1, 2, … in `train`, that val and test have no others, and that each has one name.

    Two labels may have the same name: they are two classes.

    Args:
        split: the whole split.
        source: where it comes from, for the message.

    Raises:
        DataError: `train` or `test` is empty, a label is missing in `train`, or a label has two names.
    """
    for part in ("train", "test"):
        if not getattr(split, part):
            raise DataError(f'the list "{part}" of {source} is empty; a data set needs images in train and in test')
    present = {item.label for item in split.train}
    gap = next((expected for expected in range(len(present)) if expected not in present), None)
    if gap is not None:
        raise DataError(f"{source} has no training image of label {gap}; labels must be 0, 1, 2, … with no gap")
    name_of: dict[int, str] = {}
    for item in split.items():
        if item.label not in present:
            raise DataError(f'"{item.path}" in {source} has label {item.label}, which no training image has')
        name = name_of.setdefault(item.label, item.classname)
        if name != item.classname:
            raise DataError(f'label {item.label} has two names in {source}: "{name}" and "{item.classname}"')


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
    base, new = _consecutive_parts(_labels(split), 2)
    if subset == "new" and not new:
        raise DataError(f'{len(base)} class in all: the subset "new" has none; use DATASET.SUBSAMPLE_CLASSES all')
    return _with_classes(split, base if subset == "base" else new)


def class_sets(split: Split, sets: int, order_seed: int = -1, first: int = 0) -> list[Split]:
    """Cut a split into sets of classes, each with labels from 0.

    The labels in `train` are put in an order, and cut into consecutive parts whose sizes differ by one at most, the
    larger ones first. Two sets in ascending order are `base` and `new` of `select_classes`.

    Args:
        split: the split, after few-shot sampling.
        sets: how many.
        order_seed: of the order, see `class_order`.
        first: classes in the first set, where that has a size of its own; 0: as the others.

    Raises:
        ConfigError: more sets than classes.
    """
    labels = _labels(split)
    if sets > len(labels):
        raise ConfigError(
            f"INCREMENTAL.STEPS is {sets}, but there are {len(labels)} classes: at most one step for each"
        )
    if first and not (sets > 1 and first + sets - 1 <= len(labels)):
        raise ConfigError(
            f"INCREMENTAL.FIRST is {first} of {len(labels)} classes: INCREMENTAL.STEPS must be 2 or more, and each "
            f"later step needs a class (INCREMENTAL.STEPS is {sets})"
        )
    labels = [labels[place] for place in class_order(len(labels), order_seed)]
    parts = (
        [labels[:first], *_consecutive_parts(labels[first:], sets - 1)] if first else _consecutive_parts(labels, sets)
    )
    return [_with_classes(split, part) for part in parts]


def class_order(classes: int, seed: int) -> list[int]:
    """The order in which classes are learned; a class's new label is its position in it.

    Args:
        classes: their number K.
        seed: the order is `numpy.random.RandomState(seed).permutation(K)`, in the field mostly of seed 1993; -1: the
            data set's own.

    >>> class_order(100, 1993)[:10]
    [68, 56, 78, 8, 23, 84, 90, 65, 74, 76]
    """
    return list(range(classes)) if seed < 0 else np.random.RandomState(seed).permutation(classes).tolist()


def class_names(split: Split) -> list[str]:
    """The class names of a split's training images, in label order."""
    name_of = {item.label: item.classname for item in split.train}
    return [name_of[label] for label in sorted(name_of)]


def _labels(split: Split) -> list[int]:
    """The labels in `train`, ascending."""
    return sorted({item.label for item in split.train})


def _consecutive_parts(labels: Sequence[int], parts: int) -> list[Sequence[int]]:
    """Labels in parts whose sizes differ by one at most, the larger ones first."""
    size, larger = divmod(len(labels), parts)
    ends = [size * number + min(number, larger) for number in range(parts + 1)]
    return [labels[start:end] for start, end in pairwise(ends)]


def _with_classes(split: Split, labels: Sequence[int]) -> Split:
    """The images of some classes, which are numbered anew from 0."""
    new = {label: number for number, label in enumerate(labels)}
    parts = (split.train, split.val, split.test)
    return Split(*([item._replace(label=new[item.label]) for item in part if item.label in new] for part in parts))


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
