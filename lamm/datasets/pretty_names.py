"""`classnames.txt` beside someone's own images: better class names than those of the folders or labels."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lamm.datasets.text_lists import numbered_lines
from lamm.errors import DataError
from lamm.log import logger

FILE_NAME = "classnames.txt"
SEPARATORS = ("\t", ":", "=", " ")


def pretty_names(folder: Path, classes: Sequence[str]) -> dict[str, str]:
    """Class → its name; the class itself where `classnames.txt` has no line for it, or does not exist.

    A line is the class (folder or label), a tab, colon, equals sign or space, and the name. The longest class that a
    line begins with counts, so both may hold spaces.

    Args:
        folder: where the file is looked for.
        classes: all classes.

    Raises:
        DataError: a line begins with no class, has no name, or a class has two lines.
    """
    file = folder / FILE_NAME
    names: dict[str, str] = {}
    if not file.is_file():
        return {name: name for name in classes}
    longest_first = sorted(classes, key=len, reverse=True)
    for number, line in ((number, _composed(line)) for number, line in numbered_lines(file)):
        found = next((name for name in longest_first if _begins_with(line, _composed(name))), None)
        if found is None:
            raise DataError(
                f'{file}, line {number}: expected a class, a tab and its name, found "{line[:80]}"; '
                f"classes are {', '.join(classes[:5])}{', …' if len(classes) > 5 else ''}"
            )
        pretty = line[len(_composed(found)) :].lstrip("".join(SEPARATORS))
        if not pretty or found in names:
            raise DataError(f'{file}, line {number}: "{found}" has {"two lines" if pretty else "no name"}')
        names[found] = pretty
    if len(names) < len(classes):
        logger.info(f"{FILE_NAME} names {len(names)} of {len(classes)} classes; the others keep their own names")
    made = {name: names.get(name, name) for name in classes}
    for name, count in Counter(made.values()).items():
        if count > 1:
            same = ", ".join(f'"{one}"' for one in classes if made[one] == name)
            logger.info(f'{FILE_NAME} calls {count} classes "{name}" ({same}): CLIP can\'t tell them apart by name')
    return made


def _begins_with(line: str, name: str) -> bool:
    return line.startswith(tuple(name + end for end in SEPARATORS))


def _composed(text: str) -> str:
    """Umlauts as one character: some systems write file names with two."""
    return unicodedata.normalize("NFC", text)
