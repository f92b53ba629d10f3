"""The folders that runs are looked for in."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lamm.errors import ResultsError
from lamm.results.groups import natural


def folders_below(roots: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Folders and all folders below them, each once, hidden ones left out; links are followed.

    Raises:
        ResultsError: A folder does not exist or can't be read.
    """
    seen: set[Path] = set()
    for root in map(Path, roots):
        if not root.is_dir():
            raise ResultsError(f"{root} is not a folder; give a seed folder or any folder above it, such as output")
        yield from _below(root, seen)


def _below(root: Path, seen: set[Path]) -> Iterator[Path]:
    real = root.resolve()
    if real in seen:
        return
    seen.add(real)
    yield root
    try:
        children = [child for child in root.iterdir() if child.is_dir() and not child.name.startswith(".")]
    except OSError as error:
        raise ResultsError(f"can't read the folder {root}: {error.strerror}") from error
    for child in sorted(children, key=lambda path: natural(path.name)):
        yield from _below(child, seen)
