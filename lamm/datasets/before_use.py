"""Own images before they are used: files that can't be read, and one file under several names."""

import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from lamm.datasets.splits import PARTS
from lamm.errors import DataError
from lamm.files import identity
from lamm.images import ImageError, opened, read_image

THREADS = 8
END = 1024
"""Bytes at the end of a file, the last of which, but for zeros, are its end mark."""
JPEG, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG = b"\x89PNG\r\n\x1a\n"


def require_apart(files: Iterable[tuple[str, str, str]]) -> None:
    """Refuse a file that is in two parts: what is tested would be trained on.

    Args:
        files: part, path to be shown, and path.

    Raises:
        DataError: there is one.
    """
    seen: dict[tuple[object, ...], tuple[str, str]] = {}
    for part, shown, file in files:
        other_part, other = seen.setdefault(identity(file), (part, shown))
        if other_part != part:
            names = f'"{shown}" is' if other == shown else f'"{other}" and "{shown}" are one file, which is'
            raise DataError(f"{names} in {' and in '.join(sorted((other_part, part), key=PARTS.index))}: remove one")


def require_readable(files: Collection[str], remedy: str) -> None:
    """Refuse images that training or testing would stop at.

    Of a JPEG and a PNG, nearly all photos, only the structure is checked; what that leaves in doubt is decoded.

    Args:
        files: paths.
        remedy: what shows all that is wrong, for the message.

    Raises:
        DataError: there is one that can't be read; names the first.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        problems = pool.map(problem_of, files)
        shown = tqdm(problems, total=len(files), desc="checking photos", unit="img", leave=False, disable=None)
        problem = [text for text in shown if text]
    if problem:
        more = f"; {len(problem) - 1} more of {len(files)} images can't be read either" if len(problem) > 1 else ""
        raise DataError(f"{problem[0]}{more}; {remedy}")


def problem_of(file: str) -> str:
    """Why an image can't be read; "" if it can."""
    try:
        if _is_sound(file):
            return ""
    except Exception:  # Pillow's parsers let through whatever a broken file makes them trip over: decoding decides
        pass
    try:
        read_image(file)
    except ImageError as error:
        return str(error)
    return ""


def _is_sound(file: str) -> bool:
    """Whether the structure of a JPEG or PNG is unhurt, without decoding it; False for all other files."""
    with open(file, "rb") as content:
        start = content.read(len(PNG))
        content.seek(-min(END, os.fstat(content.fileno()).st_size), os.SEEK_END)
        end = content.read(END)
    if start == PNG:
        with opened(file) as image:
            image.verify()  # the checksums of all its parts
        return True
    if start.startswith(JPEG) and end.rstrip(b"\0").endswith(JPEG_END):  # one before that may be a thumbnail's
        with opened(file):  # reads the headers
            return True
    return False
