"""What a folder holds: class folders and image files, sorted, whatever order the file system gives them in.

Hidden entries, and what operating systems and archive programs leave behind, are never classes or images.
"""

import os
from collections.abc import Collection
from pathlib import Path

from lamm.errors import DataError

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".tif", ".tiff", ".webp",
)  # fmt: skip
LEFT_BEHIND = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"})


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image: by its ending, in any case; hidden files are not."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def folder_names(folder: Path, ignored: Collection[str] = ()) -> list[str]:
    """The names of the visible folders in `folder`, by code point (capitals before lower case).

    Args:
        folder: where to look.
        ignored: further names to leave out.

    Raises:
        DataError: the folder can't be listed.
    """
    with _entries(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return sorted(name for name in names if not name.startswith(".") and name not in LEFT_BEHIND | set(ignored))


def image_names(folder: Path) -> list[str]:
    """The names of the image files in `folder`, by code point.

    Raises:
        DataError: the folder can't be listed.
    """
    with _entries(folder) as entries:
        return sorted(entry.name for entry in entries if is_image_name(entry.name) and entry.is_file())


def images_below(folder: Path) -> list[str]:
    """The image files in `folder` and all folders below it, as sorted POSIX paths relative to it.

    Links to files are followed, links to folders are not: they may lead back.

    Raises:
        DataError: a folder can't be listed.
    """
    found = image_names(folder)
    for name in folder_names(folder):
        if (folder / name).is_symlink():
            continue
        found += [f"{name}/{path}" for path in images_below(folder / name)]
    return sorted(found)


def _entries(folder: Path) -> "os._ScandirIterator[str]":
    try:
        return os.scandir(folder)
    except OSError as error:
        raise DataError(f"can't list {folder}: {error.strerror}; check the path and its permissions") from None
