"""What classes may be called: text, or whole numbers where all of them are.

Within a classifier and its file a name is text, as CLIP reads it; a classifier whose classes are numbers gives numbers.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from lamm.errors import DataError
from lamm.escaping import printable
from lamm.inference.photos import UNKNOWN

CONTROL = ("Cc", "Zl", "Zp", "Cs")
"""Unicode's categories of control characters, ends of lines and paragraphs, and what is no UTF-8."""


def names_of(values: Any) -> tuple[np.ndarray, bool]:
    """Names as an array of text or of int64, and whether they are numbers. Shape: (n,)

    Args:
        values: one per photo.

    Raises:
        DataError: they are neither all text nor all whole numbers, or no class can have such a name.
    """
    if not isinstance(values, str) and isinstance(values, Iterable) and not hasattr(values, "__array__"):
        values = list(values)
    names = np.asarray(values, dtype=object)
    for name in {name for name in names.flat if isinstance(name, str)}:
        require_name(name)  # before numpy drops a NUL at the end
    if all(isinstance(name, str) for name in names.flat):
        return names.astype(str), False
    if all(isinstance(name, int | np.integer) and not isinstance(name, bool) for name in names.flat):
        with suppress(OverflowError):
            return names.astype(np.int64), True
    kinds = " and ".join(sorted({type(name).__name__ for name in names.flat}))
    raise DataError(f"names must be all text or all whole numbers, not {kinds}")


def alike(name: str) -> str:
    """What names that look the same have in common: composed letters (NFC), and single spaces between words."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def shown(names: Sequence[str], numbers: bool) -> np.ndarray:
    """Names as a classifier gives them, text or numbers. Shape: (N,)"""
    return np.array([int(name) for name in names]) if numbers else np.array(names)


def require_names(names: Sequence[str], numbers: bool = False) -> None:
    """Refuse names that no class can have, and two classes of one name.

    Args:
        names: of all classes.
        numbers: whether they must be whole numbers.

    Raises:
        DataError: names the first one.
    """
    seen: set[str] = set()
    for name in names:
        require_name(name, numbers)
        if alike(name) in seen:
            raise DataError(f'two classes are called "{name}": a classifier needs a name of its own for each')
        seen.add(alike(name))


def require_name(name: Any, numbers: bool = False) -> None:
    """Refuse a name that no class can have.

    Raises:
        DataError: it is neither text nor a whole number, is empty, has control characters, stands for none of the
            classes, or is not a number where the others are.
    """
    if isinstance(name, bool) or not isinstance(name, str | int | np.integer):
        raise DataError(f"the name of a class is text or a whole number, not {type(name).__name__}")
    name = str(name)
    if not name.strip():
        raise DataError("a class needs a name")
    if any(unicodedata.category(character) in CONTROL for character in name):
        raise DataError(f'a name is one line of text, without control characters: "{printable(name)[:80]}" is not')
    if name == UNKNOWN:
        raise DataError(f'no class can be called "{UNKNOWN}", which stands for none of them: give it another name')
    if numbers and not _is_whole(name):
        raise DataError(f'the classes of this classifier are whole numbers: "{name}" is not one')


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number as Python writes it."""
    with suppress(ValueError):
        return str(int(text)) == text and -(2**63) <= int(text) < 2**63
    return False
