"""Image files: the formats that are read, and how a file's pixels become RGB of eight bits.

Whatever opens an image (training, prediction, checks, thumbnails) does it here. Pillow is asked for the formats of
`FORMATS` alone: it knows others that start programs (EPS) or hold no photos. Pixels are those of Pillow's
`convert("RGB")`, but for what that gets wrong: values of more than eight bits, which it cuts off, and transparency,
which it drops.

Nothing heavy is imported here, since each process that checks images imports this file anew.
"""

import importlib
import mmap
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import IO, Any

from PIL import ExifTags, Image, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from lamm.errors import DataError
from lamm.log import logger

# Format, as Pillow calls it → the endings of its files. The most frequent ones are tried first.
FORMATS = {
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".hif", ".heics", ".heifs"),
    "JXL": (".jxl",),
}
# Photos and pictures that nothing here reads; they are counted and named, not passed over.
NEVER_READ = (
    ".3fr", ".ai", ".arw", ".cr2", ".cr3", ".crw", ".dcm", ".dcr", ".dds", ".dng", ".emf", ".eps", ".erf",
    ".exr", ".fff", ".fits", ".hdp", ".hdr", ".icns", ".ico", ".iiq", ".jng", ".jxr", ".kdc", ".mef", ".mos",
    ".mrw", ".nef", ".nrw", ".orf", ".pcx", ".pef", ".psb", ".psd", ".qoi", ".raf", ".raw", ".rw2", ".rwl",
    ".sgi", ".sr2", ".srf", ".srw", ".svg", ".tga", ".wdp", ".wmf", ".x3f", ".xcf",
)  # fmt: skip
# Formats that not every Pillow reads: what Pillow calls their decoder, or the plugin's module; and what brings it.
DECODERS = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}
PLUGINS = {"HEIF": "pillow_heif", "JXL": "pillow_jxl"}
REMEDIES = {
    "HEIF": "pip install pillow-heif",
    "JXL": "pip install pillow-jxl-plugin",
    **dict.fromkeys(DECODERS, "pip install -U pillow"),
}

_FORMAT_OF = {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes}
IMAGE_SUFFIXES = (*_FORMAT_OF, *NEVER_READ)

LONGEST_TO_SHORTEST = 1000
"""Sides of an image may differ by this factor: resized, a longer one would take gigabytes."""

# What is said once in a log, since it changes pixels.
DEEP, MEASURED, TRANSPARENT = "deep", "measured", "transparent"
NOTICES = {
    DEEP: "Images of 16 bits, or of floats from 0 to 1, are scaled by that range to 8 bits",
    MEASURED: "Images of 32-bit values: each is scaled from its own smallest and largest value to 8 bits",
    TRANSPARENT: "Images with transparent pixels are put on white",
}
# A byte per notice, in memory that worker processes share: one of them says it.
_said = mmap.mmap(-1, len(NOTICES))


class ImageError(DataError):
    """An image that is missing or broken.

    A data loader rebuilds an exception of its worker process by calling the class with the worker's whole
    traceback; the constructor keeps the traceback's last line, this class's own message.
    """

    def __init__(self, message: str) -> None:
        if message.startswith("Caught "):
            message = message.rpartition(f"{type(self).__name__}: ")[2].strip()
        super().__init__(message)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image: by its ending, in any case; hidden files are not."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


@cache
def readable_formats() -> tuple[str, ...]:
    """The formats that Pillow reads here, plugins included if they are installed; in the order of `FORMATS`."""
    Image.init()
    for module in PLUGINS.values():
        with suppress(ImportError):
            plugin = importlib.import_module(module)
            getattr(plugin, "register_heif_opener", lambda: None)()
    return tuple(name for name in FORMATS if name in Image.OPEN and features.check(DECODERS.get(name, "pil")))


def is_readable_here(path: str) -> bool:
    """Whether there is a decoder for files with this ending; true for a name without an image's ending."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix not in NEVER_READ and _FORMAT_OF.get(suffix, "PNG") in readable_formats()


def unreadable_line(paths: Iterable[str]) -> str:
    """One line that counts the files for which there is no decoder and says what they need; "" if there are none."""
    suffixes = Counter(os.path.splitext(path)[1].lower() for path in paths if not is_readable_here(path))
    needs = []
    for suffix in sorted(suffixes):
        remedy = REMEDIES.get(_FORMAT_OF.get(suffix, ""))
        needs.append(f"{suffix[1:].upper()} needs " + (f"`{remedy}`" if remedy else "a conversion to JPEG or PNG"))
    count = suffixes.total()
    return f"{count} file{'s are' if count > 1 else ' is'} not readable here: {', '.join(needs)}" if count else ""


@contextmanager
def image_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever a missing or broken image file makes Pillow raise into an `ImageError` of one line."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f'image file "{path}" does not exist; check the data root') from None
    except UnidentifiedImageError:
        unreadable = unreadable_line([os.fspath(path)]).partition(": ")[2]
        reason = f"is not readable here: {unreadable}" if unreadable else "is not an image, or is damaged; replace it"
        raise ImageError(f'image file "{path}" {reason}') from None
    except Exception as error:  # Pillow's parsers let through whatever a broken file makes them trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f'image file "{path}" can\'t be read ({reason[:200]}); replace it') from error


@contextmanager
def opened(file: str | os.PathLike[str] | IO[bytes]) -> Iterator[Image.Image]:
    """An image file, its pixels not decoded yet. Pillow's warnings are silenced, its limit on pixels holds.

    Raises:
        Exception: whatever Pillow raises; see `image_errors`.
        ValueError: the image is so long and narrow that resizing it would take gigabytes.
    """
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        # Not by its name: Pillow would map an uncompressed TIFF into memory, and then turn its size but not its pixels.
        source = stack.enter_context(open(file, "rb")) if isinstance(file, str | os.PathLike) else file
        with Image.open(source, formats=readable_formats()) as image:
            if max(image.size) > LONGEST_TO_SHORTEST * min(image.size):
                raise ValueError(f"{image.width} x {image.height} pixels are too long and narrow for a photo")
            yield image


def read_image(path: str | os.PathLike[str], upright: bool = False) -> Image.Image:
    """Read an image file as RGB.

    Args:
        path: of the file.
        upright: turn it as its EXIF orientation says.

    Raises:
        ImageError: the file is missing, truncated or not an image; the message is one line with the path.
    """
    with image_errors(path), opened(path) as image:
        return as_rgb(image, upright)


# EXIF orientation → what makes the image upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What makes an opened image upright, by its EXIF orientation; None: it is, or that can't be read."""
    if isinstance(image, TiffImageFile):
        return None  # Pillow turns these by itself
    with suppress(Exception):  # a photo with broken EXIF data is still a photo
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def say_once(notice: str) -> None:
    """Log one of `NOTICES`, once for this process and the worker processes that it has forked."""
    place = list(NOTICES).index(notice)
    if not _said[place]:
        _said[place] = 1
        logger.info("%s", NOTICES[notice])


def begin_notices() -> None:
    """Have each of `NOTICES` said anew: another run begins."""
    _said[:] = bytes(len(NOTICES))


def as_rgb(image: Image.Image, upright: bool = False, say: Callable[[str], None] = say_once) -> Image.Image:
    """An opened image as RGB of eight bits, loaded.

    Values of 16 bits are scaled by their range, floats from 0 to 1 by 1, and other 32-bit values from the image's
    smallest to its largest. Transparent pixels are put on white.

    Args:
        image: as opened.
        upright: turn it as its EXIF orientation says.
        say: is told the notice (of `NOTICES`) that the image calls for.
    """
    turn = turn_of(image) if upright else None
    if image.mode[0] in "IF":
        rgb = _of_eight_bits(image, say).convert("RGB")
    elif image.has_transparency_data:
        rgb = _on_white(image, say)
    elif image.mode == "RGB" and isinstance(image, JpegImageFile | PngImageFile):
        # `convert` would copy the image, which costs as much as decoding when it is a large one.
        image.load()
        rgb = image
    else:
        rgb = image.convert("RGB")
    return rgb if turn is None else rgb.transpose(turn)


def _of_eight_bits(image: Image.Image, say: Callable[[str], None]) -> Image.Image:
    import numpy as np

    values: Any = np.asarray(image)  # (H, W)
    low, high, notice = 0.0, 1.0, DEEP
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        high = 2.0 ** _bits_of(image) - 1
        values = values.astype(np.float32)
    else:
        values = values.astype(np.float64)
        finite = values[np.isfinite(values)]
        ends = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if image.mode == "I" or not 0 <= ends[0] <= ends[1] <= 1:
            (low, high), notice = ends, MEASURED
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    say(notice)
    eight = np.rint(((values - low) / ((high - low) or 1.0)).clip(0, 1) * 255).astype(np.uint8)
    if image.mode.startswith("I;16") and isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0:
        eight = 255 - eight  # 0 is white in this file
    if isinstance(transparent := image.info.get("transparency"), int):
        eight[values == transparent] = 255
    return Image.fromarray(eight)


def _bits_of(image: Image.Image) -> int:
    """Bits of a grey value: 16, or what a TIFF file says (12)."""
    bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, 16) if isinstance(image, TiffImageFile) else 16
    return int(bits[0] if isinstance(bits, tuple) else bits)


def _on_white(image: Image.Image, say: Callable[[str], None]) -> Image.Image:
    with_alpha = image.convert("RGBA")
    alpha, rgb = with_alpha.getchannel("A"), with_alpha.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return rgb
    say(TRANSPARENT)
    white = Image.new("RGB", image.size, "white")
    white.paste(rgb, mask=alpha)
    return white
