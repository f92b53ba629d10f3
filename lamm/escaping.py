"""Text that users chose (names of classes, data sets, files) where some characters have a meaning of their own."""

import re
from contextlib import suppress

_JOINERS = "\u200c\u200d"  # within letters of Persian or Hindi, and within an emoji
_FORMULA = re.compile("'*[=+\\-@\t\r\n]")
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w)")  # an underscore within a word means nothing
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def printable(text: str) -> str:
    """Text as one line of a terminal: what can't be printed, escape sequences too, is written as in Python's source.

    >>> printable("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\nb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else ascii(c)[1:-1] for c in text)


def csv_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: it gets a `'` in front where it begins like one.

    A number stays a number. `csv_value` is the inverse.
    """
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def csv_value(cell: str) -> str:
    """The text that `csv_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def markdown(text: str) -> str:
    """Text in a table cell of GitHub's Markdown: no pipe ends the cell, and nothing is a link, HTML or emphasis."""
    return _MARKDOWN.sub(lambda character: f"\\{character[0]}", text)


def latex(text: str) -> str:
    """Text as LaTeX takes it, special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return "_" not in text and text.isascii() and text.strip() == text
    return False
