"""Moving an unpacked part to its place: in one rename where nothing is there, else only what is missing."""

import filecmp
import os
from pathlib import Path

from lamm.errors import DataError


def lay_out(unpacked: Path, target: Path) -> int:
    """Move a folder or file to `target`, on the same file system. Nothing that is there is replaced or removed.

    Args:
        unpacked: what to move.
        target: its place; where a folder is there already, it gets the files that it lacks.

    Returns:
        The number of files that joined a folder that was there; -1 where the whole was moved.

    Raises:
        DataError: a file that is there differs from the one to be put there; nothing was changed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(target):
        _move(unpacked, target)
        return -1
    missing, differing = _compared(unpacked, target)
    if differing:
        others = f" and {len(differing) - 1:,} more" if len(differing) > 1 else ""
        raise DataError(
            f"{differing[0]} is there and differs from what was given{others}; nothing was changed: remove or rename "
            "what should be replaced, and run this again"
        )
    for path in missing:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        _move(unpacked / path, target / path)
    return len(missing)


def _compared(unpacked: Path, target: Path) -> tuple[list[Path], list[Path]]:
    """Relative paths of the files that `target` lacks, and its files (whole paths) that differ."""
    if unpacked.is_file():
        return [], [] if target.is_file() and filecmp.cmp(unpacked, target, shallow=False) else [target]
    if not target.is_dir():
        return [], [target]
    missing, differing = [], []
    for where, _, names in os.walk(unpacked):
        for name in sorted(names):
            path = (Path(where) / name).relative_to(unpacked)
            there = target / path
            if there.is_file():
                differing += [] if filecmp.cmp(unpacked / path, there, shallow=False) else [there]
            elif os.path.lexists(there) or _blocked(there, target):
                differing.append(there)
            else:
                missing.append(path)
    return missing, differing


def _blocked(file: Path, top: Path) -> bool:
    """Whether something that is no folder stands where a folder above `file` should be."""
    above = [top, *(top / parent for parent in file.relative_to(top).parents)]
    return any(os.path.lexists(folder) and not folder.is_dir() for folder in above)


def _move(source: Path, target: Path) -> None:
    """Rename; what came to stand at `target` meanwhile is not replaced."""
    if source.is_dir():
        os.rename(source, target)  # fails unless there is nothing, or an empty folder
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError(0, "appeared meanwhile", str(target)) from None
        os.rename(source, target)
    else:
        os.unlink(source)
