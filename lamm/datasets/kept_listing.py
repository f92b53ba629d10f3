"""The image names in many class folders, kept in a file, since listing a million of them takes long on a network disk.

The file has a line a folder, each a JSON object. A kept list is served as long as its folder's modification time is
the one that was kept with it; a file that is added or removed changes that time. A folder that changed just before it
was listed is listed again the next time, since a change within the same tick of the clock would not show.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from lamm.datasets.listing import image_names
from lamm.errors import DataError
from lamm.files import atomic_path
from lamm.log import logger

_TICK_NS = 2_000_000_000


class _Kept(NamedTuple):
    """Modification time of a folder in ns (0: not to be trusted), and its image names, a line each."""

    modified: int
    names: str


def image_names_kept(file: Path, base: Path, folders: Iterable[str]) -> dict[str, str]:
    """The sorted image names of each folder, a line each.

    Args:
        file: where the lists are kept (`.jsonl`); where it can't be written they are only returned.
        base: what the folders are relative to.
        folders: relative POSIX paths.

    Raises:
        DataError: a folder is missing or can't be listed.
    """
    kept, now = _read(file), {}
    for folder in tqdm(list(folders), desc="listing images", unit="folder", leave=False, disable=None):
        changed = _modified(base / folder)
        if folder in kept and kept[folder].modified == changed:
            now[folder] = kept[folder]
        else:
            settled = time.time_ns() - changed > _TICK_NS
            now[folder] = _Kept(changed if settled else 0, "\n".join(image_names(base / folder)))
    if now != kept:
        _write(file, now)
    return {folder: names for folder, (_, names) in now.items()}


def _modified(folder: Path) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError as error:
        raise DataError(f"can't list {folder}: {error.strerror}; check the path and its permissions") from None


def _read(file: Path) -> dict[str, _Kept]:
    """The kept lists; none where there is no file, or a damaged one."""
    kept: dict[str, _Kept] = {}
    try:
        with open(file, encoding="utf-8") as opened:
            for line in opened:
                one = json.loads(line)
                modified, names = one["modified"], one["names"]
                if not isinstance(modified, int) or not isinstance(names, str) or "/" in names:
                    return {}
                kept[one["folder"]] = _Kept(modified, names)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return kept


def _write(file: Path, listing: dict[str, _Kept]) -> None:
    try:
        with atomic_path(file) as temporary, open(temporary, "w", encoding="utf-8") as opened:
            for folder, kept in listing.items():
                opened.write(json.dumps({"folder": folder, **kept._asdict()}) + "\n")
    except OSError as error:
        logger.info(f"the list of images is not kept: can't write to {file.parent} ({error.strerror or error})")
