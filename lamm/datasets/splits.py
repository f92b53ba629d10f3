"""Split files: which image belongs to train, val or test, with its label and class name.

The benchmark's format: one JSON object with the keys `train`, `val`, `test`, each a list of
`[path, label, class name]`. A path is relative to the data set's image folder, with forward slashes. The order of
a list counts: few-shot sampling depends on it.
"""

import hashlib
import itertools
import json
import posixpath
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from json.encoder import encode_basestring_ascii
from os import PathLike
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from lamm.engine import Datum
from lamm.errors import ConfigError, DataError, unknown_name
from lamm.files import write_text
from lamm.log import logger


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


PARTS = tuple(field.name for field in fields(Split))


def read_split(path: str | PathLike[str]) -> Split:
    """Read and check a split file.

    Raises:
        DataError: the file is missing or unreadable, is not JSON, or an entry is not `[path, label, class name]` with
            a path that stays inside the image folder.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise DataError(f"no split file at {path}; put it there or give another data root") from None
    except OSError as error:
        raise DataError(f"can't read the split file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); fetch or write it again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object; expected one with the keys {', '.join(PARTS)}")
    return Split(**{part: _read_part(content, part, path) for part in PARTS})


def split_as_text(split: Split) -> str:
    """The text of the split's file, character for character as the benchmark writes it."""
    return json.dumps({part: getattr(split, part) for part in PARTS}, indent=4, separators=(",", ": "))


def write_split(path: str | PathLike[str], split: Split) -> None:
    """Write a split file (atomically)."""
    write_text(path, split_as_text(split))


def hash_of_split(split: Split) -> str:
    """SHA-256 (hexadecimal) of `split_as_text`; white space and key order of a split's file don't matter.

    The text is hashed in pieces: that of ImageNet would take hundreds of megabytes.
    """
    digest = hashlib.sha256()
    for piece in _pieces_of_text(split):
        digest.update(piece.encode("ascii"))
    return digest.hexdigest()


def _pieces_of_text(split: Split) -> Iterator[str]:
    """What `split_as_text` gives, an image at a time."""
    opening = "{\n"
    for part in PARTS:
        start = f"{opening}    {json.dumps(part)}: ["
        for path, label, classname in getattr(split, part):
            texts = (encode_basestring_ascii(path), str(label), encode_basestring_ascii(classname))
            fields_of_item = f",\n{' ' * 12}".join(texts)
            yield f"{start}\n{' ' * 8}[\n{' ' * 12}{fields_of_item}\n{' ' * 8}]"
            start = ","
        yield f"{start}]" if start != "," else "\n    ]"
        opening = ",\n"
    yield "\n}"


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
    for expected, label in enumerate(sorted(present)):
        if label != expected:
            raise DataError(
                f"{source} has no training image of label {expected}; labels must be 0, 1, 2, … with no gap"
            )
    name_of: dict[int, str] = {}
    for item in split.items():
        if item.label not in present:
            raise DataError(f'"{item.path}" in {source} has label {item.label}, which no training image has')
        name = name_of.setdefault(item.label, item.classname)
        if name != item.classname:
            raise DataError(f'label {item.label} has two names in {source}: "{name}" and "{item.classname}"')


def _read_part(content: dict[str, Any], part: str, source: str | PathLike[str]) -> list[SplitItem]:
    entries = content.get(part)
    if not isinstance(entries, list):
        raise DataError(f'{source} has no list "{part}"; expected the keys {", ".join(PARTS)}')
    return list(_read_entries(entries, part, source))


def _read_entries(entries: list[Any], part: str, source: str | PathLike[str]) -> Iterable[SplitItem]:
    for position, entry in enumerate(entries):
        yield checked_item(entry, f"{source}, {part}[{position}]")


def checked_item(entry: Any, where: str) -> SplitItem:
    """An entry of a split as an item.

    Args:
        entry: path, label, class name.
        where: where it stands, for the message.

    Raises:
        DataError: it is no such thing, or the path could leave the image folder.
    """
    if not isinstance(entry, list | tuple) or len(entry) != 3:
        raise DataError(f"{where}: expected [path, label, class name], found {json.dumps(entry)[:80]}")
    path, label, classname = entry
    return SplitItem(_read_path(path, where), _read_label(label, where), _read_name(classname, where))


def _read_path(path: Any, where: str) -> str:
    """Forward slashes, no `.` and `..`; joined to the image folder it can't leave it."""
    if not is_text(path) or "\0" in path:
        raise DataError(f"{where}: the path {json.dumps(path)[:80]} is not a file name")
    clean = posixpath.normpath(path.replace("\\", "/"))
    if clean.startswith("/") or PureWindowsPath(clean).drive:
        raise DataError(f'{where}: the path "{path}" is absolute; it must be relative to the image folder')
    if clean == "." or clean.split("/")[0] == "..":
        raise DataError(f'{where}: the path "{path}" leaves the image folder')
    return clean


def _read_label(label: Any, where: str) -> int:
    if isinstance(label, str) and label.isdecimal() and len(label) < 10:
        return int(label)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, int) or label < 0:
        raise DataError(f"{where}: the label {json.dumps(label)[:80]} is not a whole number from 0")
    return label


def _read_name(classname: Any, where: str) -> str:
    if not is_text(classname):
        raise DataError(f"{where}: the class name {json.dumps(classname)[:80]} is not a text with letters")
    return classname


def is_text(value: Any) -> bool:
    """Whether `value` is a string that is not blank and can be written as UTF-8."""
    if not isinstance(value, str) or not value.strip():
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


SPLIT_SEED = 1


def kept_split(file: Path, make: Callable[[random.Random], Split]) -> Split:
    """The split in `file`; where there is none, a new one.

    Args:
        file: `split_lamm_*.json`.
        make: makes the split; its generator has the same state every time.

    Raises:
        DataError: the file is broken, or `make` can't do it.
    """
    if file.is_file():
        return read_split(file)
    return make(random.Random(SPLIT_SEED))


def keep_split(file: Path, split: Split) -> None:
    """Write the split; where that can't be done a line in the log says so, and the next run makes it anew."""
    try:
        write_split(file, split)
        logger.info(f"The split is kept in {file}")
    except OSError as error:
        logger.info(f"the split is not kept: can't write to {file.parent} ({error.strerror or error})")


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
