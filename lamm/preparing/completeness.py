"""Whether a part of a data set's folder is whole: what it must hold, and how many images there are at least."""

import os
from pathlib import Path

from lamm.datasets.listing import is_image_name
from lamm.datasets.published_files import Part
from lamm.files import sha256_of_file


def shortcoming(part: Part, place: Path) -> str:
    """What a part lacks, in a few words; "" where it is whole.

    Args:
        part: what it should be.
        place: the file or folder, whatever it is called.
    """
    if not part.is_folder:
        return _shortcoming_of_file(part, place)
    if not place.is_dir():
        return "is not a folder" if place.exists() else "is absent"
    images, folders = count_images(place)
    if images < part.images:
        return f"has {images:,} of at least {part.images:,} images"
    if folders < part.folders:
        return f"has images in {folders:,} folders, at least {part.folders:,} are expected"
    lacking = next((name for name in part.holds if not (place / name).exists()), None)
    return f'has no "{lacking}"' if lacking else ""


def _shortcoming_of_file(part: Part, place: Path) -> str:
    if not place.is_file():
        return "is not a file" if place.exists() else "is absent"
    size = place.stat().st_size
    if size == 0:
        return "is empty"
    if part.size and size != part.size:
        return f"has {size:,} bytes, the published file has {part.size:,}"
    if part.sha256 and sha256_of_file(place) != part.sha256:
        return "has other content than the published file (by its SHA-256)"
    return ""


def count_images(folder: Path) -> tuple[int, int]:
    """The images in a folder and all folders below it, and how many folders below it hold some."""
    images = folders = 0
    for where, _, names in os.walk(folder):
        here = sum(map(is_image_name, names))
        images += here
        folders += here > 0 and Path(where) != folder
    return images, folders
