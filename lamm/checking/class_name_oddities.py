"""Class names that CLIP may not understand as meant: each kind is a note, blank names are faults."""

import re
from collections.abc import Iterable, Iterator

from lamm.checking.findings import Finding, listed

LONG_NAME = 100
_WNID = re.compile(r"n\d{8}")
_CAMEL = re.compile(r"\S*[a-z][A-Z]\S*")


def name_oddities(names: Iterable[str]) -> Iterator[Finding]:
    """Findings about class names, each kind once.

    Args:
        names: of all classes; each counts once.
    """
    quoted = {name: f'"{name}"' for name in dict.fromkeys(names)}

    def those(test: re.Pattern[str] | str) -> list[str]:
        return [shown for name, shown in quoted.items() if re.fullmatch(test, name)]

    yield from listed("class names that are blank", those(r"\s*"))
    yield from listed(
        "class names that are WordNet ids, which CLIP can't read (classnames.txt can give words)",
        those(_WNID),
        is_fault=False,
    )
    yield from listed(
        "class names of digits only, which say little to CLIP (classnames.txt can give words)",
        those(r"\d+"),
        is_fault=False,
    )
    yield from listed("class names with underscores, which become spaces in prompts", those(r".*_.*"), is_fault=False)
    yield from listed("class names of words run together (CamelCase)", those(_CAMEL), is_fault=False)
    spaced = [shown for name, shown in quoted.items() if name != name.strip() and name.strip()]
    yield from listed("class names that begin or end with a space", spaced, is_fault=False)
    long = [f'"{name[:40]}…"' for name in quoted if len(name) > LONG_NAME]
    yield from listed(f"class names of more than {LONG_NAME} letters", long, is_fault=False)
    yield from _alike(quoted)


def _alike(quoted: dict[str, str]) -> Iterator[Finding]:
    """Names that differ in case, spaces or underscores only."""
    first: dict[str, str] = {}
    pairs = []
    for name, shown in quoted.items():
        plain = re.sub(r"[\s_-]+", " ", name).strip().lower()
        other = first.setdefault(plain, shown)
        if other != shown:
            pairs.append(f"{other} and {shown}")
    yield from listed("pairs of class names that are the same to CLIP", pairs, is_fault=False)
