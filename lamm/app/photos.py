"""Photos that come into a project: what is refused, what is stored, and the small picture that the page shows.

A file's bytes are never trusted: its name is text to show and never a path, its format is what its bytes say, and its
pixels are counted before they are decoded.
"""

import hashlib
import io
import posixpath
from pathlib import Path

from PIL import Image

from lamm.errors import DataError
from lamm.escaping import printable
from lamm.files import atomic_path
from lamm.images import FORMATS, as_rgb, image_errors, opened

LARGEST_FILE = 50 << 20
"""Bytes of a photo."""
MOST_PIXELS = 100_000_000
THUMBNAIL = 256
"""Pixels of a thumbnail's longer side."""
LONGEST_NAME = 100
PHOTOS, THUMBNAILS = "photos", "thumbnails"
# What archives begin with.
ARCHIVES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",
)
TAR_MARK, TAR_PLACE = b"ustar", 257


def shown_name(path: str) -> str:
    """The last part of a file's name, as one line of bounded length; to show, never to open."""
    name = printable(posixpath.basename(path.replace("\\", "/"))).strip()
    return name[-LONGEST_NAME:] or "photo"


def store_photo(content: bytes, name: str, project: Path) -> str:
    """Store one photo and its thumbnail in a project's folder.

    Args:
        content: the file's bytes.
        name: what the file is called, for messages.
        project: the folder; the photo goes into `photos/` in it, under a name made of its content.

    Returns:
        The file's name there. The same bytes have the same name.

    Raises:
        DataError: it is not a photo that can be read here, or too large; one line.
        OSError: the disk does not take it.
    """
    name = shown_name(name)
    if len(content) > LARGEST_FILE:
        raise DataError(f'"{name}" has more than {LARGEST_FILE >> 20} MiB: make it smaller')
    if content.startswith(ARCHIVES) or content[TAR_PLACE:].startswith(TAR_MARK):
        raise DataError(f'"{name}" is an archive: unpack it and drop the folder')
    with image_errors(name), opened(io.BytesIO(content)) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are more than {MOST_PIXELS // 1_000_000} million")
        suffix = FORMATS.get(image.format or "", (".jpg",))[0]
        image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))  # a JPEG is decoded at about that size
        picture = as_rgb(image, upright=True, say=lambda notice: None)
        picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    file = hashlib.sha256(content).hexdigest()[:24] + suffix
    if not (photo := project / PHOTOS / file).exists():
        with atomic_path(thumbnail_of(project, file)) as temporary:
            picture.save(temporary, "JPEG", quality=85)
        with atomic_path(photo) as temporary:
            temporary.write_bytes(content)
    return file


def thumbnail_of(project: Path, file: str) -> Path:
    """Where the thumbnail of a stored photo is."""
    return project / THUMBNAILS / f"{Path(file).stem}.jpg"
