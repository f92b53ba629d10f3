"""The small text files that data sets come with: one entry a line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from lamm.datasets.splits import SplitItem, checked_item
from lamm.errors import DataError

Entry = TypeVar("Entry")


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without white space at their ends, each with its number from 1.

    Files are UTF-8, with or without a byte order mark, on every system.

    Raises:
        DataError: the file is missing or can't be read as UTF-8 text.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), start=1):
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
