"""Paths inside archives: refused when they could lead anywhere but below the folder that they are unpacked to."""

import re

from lamm.datasets.listing import LEFT_BEHIND as LEFT_BEHIND_FOLDERS
from lamm.errors import DataError

_DRIVE = re.compile("[A-Za-z]:")
# What operating systems and archive programs leave behind, in any folder.
LEFT_BEHIND = LEFT_BEHIND_FOLDERS | {".DS_Store", "Thumbs.db", "desktop.ini", ".directory"}


def clean_path(path: str, archive: str) -> str:
    """The path of an archive's entry, relative, with forward slashes, without `.` parts.

    Args:
        path: as the archive has it.
        archive: the archive's name, for the message.

    Raises:
        DataError: the path is absolute (also in the manner of Windows), holds `..`, a backslash or a NUL, or is
            empty: a whole archive with such an entry is refused.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or _DRIVE.match(path):
        raise DataError(f"{archive} is refused: its entry {path!r} has an absolute path; fetch it from its own page")
    if ".." in parts:
        raise DataError(f"{archive} is refused: its entry {path!r} leads out of the folder; fetch it from its own page")
    if "\\" in path or "\0" in path:
        raise DataError(f"{archive} is refused: its entry {path!r} holds a character that no path may hold")
    return "/".join(parts)


def is_left_behind(path: str) -> bool:
    """Whether an entry is something that an operating system left in the archive (`__MACOSX`, `.DS_Store`, `._x`)."""
    return any(part in LEFT_BEHIND or part.startswith("._") for part in path.split("/"))
