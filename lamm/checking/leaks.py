"""Finding images that are trained and tested on: one file under several names, or files with the same bytes."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from lamm.checking.findings import Finding, listed
from lamm.files import identity, sha256_of_file

SHOWN_NAMES = 4


def leak_findings(parts: Mapping[str, str], base: Path, is_fault: bool = True) -> Iterator[Finding]:
    """Findings about the same image in two parts, and notes about one that is there twice in the same part.

    Args:
        parts: file → its part.
        base: what files are shown relative to.
        is_fault: whether the same image in two parts is a fault; published splits are as they are.
    """
    across: list[str] = []
    within: list[str] = []
    for group in same_images(parts):
        names = [f"{os.path.relpath(file, base)}{f' ({parts[file]})' * bool(parts[file])}" for file in group]
        more = [f"{len(names) - SHOWN_NAMES} more"] if len(names) > SHOWN_NAMES else []
        (across if len({parts[file] for file in group}) > 1 else within).append(
            " = ".join([*names[:SHOWN_NAMES], *more])
        )
    what = "images in two parts under two names, so that what is tested was trained on"
    yield from listed(what, across, is_fault)
    if is_fault:  # of own images
        yield from listed("images that are there more than once", within, is_fault=False)


def same_images(files: Iterable[str]) -> list[list[str]]:
    """Groups of two files or more that are one file, or have the same bytes; only files of one size are read."""
    of_size: dict[int, dict[tuple[object, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        with suppress(OSError):  # missing or unreadable, which is a finding of its own
            of_size[os.path.getsize(file)][identity(file)].append(file)
    groups = []
    for size, names_of in of_size.items():
        if len(names_of) == 1 or size == 0:
            groups += list(names_of.values())
            continue
        same: dict[str, list[str]] = defaultdict(list)
        for names in names_of.values():
            with suppress(OSError):
                same[sha256_of_file(names[0])] += names
        groups += list(same.values())
    return sorted(sorted(group) for group in groups if len(group) > 1)
