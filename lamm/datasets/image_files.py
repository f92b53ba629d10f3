"""Finding image files that a split names and the disk lacks."""

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path


def missing_images(folder: Path, paths: Iterable[str]) -> list[str]:
    """The paths (relative to `folder`, POSIX, each once) at which there is no file, in the order given.

    Every folder is listed once. A file that a listing lacks is asked for by name before it counts as missing, since
    file systems that ignore case or normalise names find it all the same.
    """
    listings: dict[str, frozenset[str]] = {}
    missing = []
    for path in dict.fromkeys(paths):
        parent, name = posixpath.split(path)
        if parent not in listings:
            listings[parent] = _names_of_files(folder / parent)
        if name not in listings[parent] and not os.path.isfile(folder / path):
            missing.append(path)
    return missing


def _names_of_files(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()
