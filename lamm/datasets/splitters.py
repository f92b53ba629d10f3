"""The benchmark's two rules for making a split where the published one is absent, and readers of official lists.

Listings are sorted and the generator is the caller's, so a rule gives the same split on every machine. It has the
sizes of the published split and other images: the order and seed of that one are not known.
"""

import codecs
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lamm.datasets.splits import Split, SplitItem, checked_item
from lamm.errors import DataError
from lamm.reading import read_bytes

Entry = TypeVar("Entry")


def split_50_20_30(classes: Mapping[str, Sequence[SplitItem]], rng: random.Random) -> Split:
    """Shuffle each class and cut it 50 / 20 / 30 %: the rule of Caltech-101, DTD, Food-101, EuroSAT and Flowers.

    The first two counts are rounded to the nearest whole number, ties to even; test is the rest.

    Args:
        classes: the name of a class, for messages → its images; the order of both decides the draw.
        rng: shuffles each class in turn.

    Raises:
        DataError: a part of a class would be empty.
    """
    train: list[SplitItem] = []
    val: list[SplitItem] = []
    test: list[SplitItem] = []
    for name, images in classes.items():
        shuffled = list(images)
        rng.shuffle(shuffled)
        in_train, in_val = round(0.5 * len(shuffled)), round(0.2 * len(shuffled))
        cut = in_train + in_val
        if not (in_train > 0 and in_val > 0 and cut < len(shuffled)):
            raise DataError(
                f"{name}: {len(shuffled)} images of a class are too few for a 50/20/30 % split; it needs at least 4"
            )
        train += shuffled[:in_train]
        val += shuffled[in_train:cut]
        test += shuffled[cut:]
    return Split(train, val, test)


def split_80_20(trainval: Sequence[SplitItem], test: Sequence[SplitItem], rng: random.Random) -> Split:
    """Take 20 % of each class of an official training list for validation: the rule of Pets, Cars, SUN397 and UCF101.

    Classes come in the order of their first image. The share is rounded to the nearest whole number, ties to even.

    Raises:
        DataError: a class would have no validation image.
    """
    groups: dict[int, list[SplitItem]] = defaultdict(list)
    for item in trainval:
        groups[item.label].append(item)
    train: list[SplitItem] = []
    val: list[SplitItem] = []
    for group in groups.values():
        in_val = round(0.2 * len(group))
        if in_val == 0:
            raise DataError(
                f'{len(group)} training images of class "{group[0].classname}" are too few for an 80/20 % split; '
                "it needs at least 3"
            )
        rng.shuffle(group)
        val += group[:in_val]
        train += group[in_val:]
    return Split(train, val, test)


ENCODINGS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Byte order mark → encoding; the latter two are what spreadsheets call Unicode text."""


def read_text(file: Path) -> str:
    """A text file's content, line ends as they are: UTF-8, or what the byte order mark says.

    Raises:
        DataError: the file is missing or can't be read as text.
    """
    try:
        content = read_bytes(file)
        mark = next((mark for mark in ENCODINGS if content.startswith(mark)), b"")
        text = content[len(mark) :].decode(ENCODINGS.get(mark, "utf-8"))
    except FileNotFoundError:
        raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}") from None
    if "\0" in text:
        raise DataError(f"{file} is not UTF-8 text (it has NUL characters); save it as UTF-8")
    return text


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without white space at their ends, each with its number from 1.

    Raises:
        DataError: the file is missing or can't be read as text.
    """
    for number, line in enumerate(re.split(r"\r\n|\r|\n", read_text(file)), start=1):
        if line.strip():
            yield number, line.strip()


def read_entries(file: Path, parse: Callable[[str], Entry | None], form: str) -> list[Entry]:
    """Every line as an entry.

    Args:
        file: the text file.
        parse: makes an entry of a line; None (or a ValueError) where the line is not one.
        form: what a line looks like, for the message.

    Raises:
        DataError: the file is missing, not text, empty, or a line has another form.
    """
    return [entry for _, entry in _numbered_entries(file, parse, form)]


def read_items(file: Path, parse: Callable[[str], SplitItem | None], form: str) -> list[SplitItem]:
    """`read_entries` of lines that name an image.

    Raises:
        DataError: as there, or a path could leave the image folder.
    """
    return [checked_item(item, f"{file}, line {number}") for number, item in _numbered_entries(file, parse, form)]


def _numbered_entries(file: Path, parse: Callable[[str], Entry | None], form: str) -> list[tuple[int, Entry]]:
    entries = []
    for number, line in numbered_lines(file):
        try:
            entry = parse(line)
        except ValueError:
            entry = None
        if entry is None:
            raise DataError(f'{file}, line {number}: expected "{form}", found "{line[:80]}"')
        entries.append((number, entry))
    if not entries:
        raise DataError(f'{file} is empty; expected lines "{form}"')
    return entries


def read_matlab(file: Path, variable: str) -> Any:
    """One variable of a `.mat` file, as `scipy.io.loadmat` gives it: an array with two dimensions or more.

    Raises:
        DataError: the file is missing or damaged, or has no such variable.
    """
    from scipy.io import loadmat  # slow to import, and needed only where the split file is absent

    try:
        content = loadmat(str(file), variable_names=[variable])
    except FileNotFoundError:
        raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
    except Exception as error:  # scipy's reader lets through whatever a broken file makes it trip over
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"{file} can't be read as a MATLAB file ({reason}); fetch it again") from None
    if variable not in content or getattr(content[variable], "ndim", 0) < 2 or not len(content[variable]):
        raise DataError(f'{file} has no variable "{variable}"; fetch the file again')
    return content[variable]
