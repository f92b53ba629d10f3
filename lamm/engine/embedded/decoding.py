"""Image files: opened, decoded exactly or fast, and errors that name the file.

`ImageFile` is an image for any transform: Pillow's (`read_image`), or for a pipeline of `INPUT.DECODING fast` a
`Photo`, which knows its size before it is decoded and can be decoded at a part of it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from lamm.errors import DataError


class ImageError(DataError):
    """An image that is missing or broken.

    A data loader rebuilds an exception of its worker process by calling the class with the worker's whole
    traceback; the constructor keeps the traceback's last line, this class's own message.
    """

    def __init__(self, message: str) -> None:
        if message.startswith("Caught "):
            message = message.rpartition(f"{type(self).__name__}: ")[2].strip()
        super().__init__(message)


def read_image(path: str) -> Image.Image:
    """Read an image file as RGB; the pixels are those of Pillow's `convert("RGB")`.

    Raises:
        ImageError: The file is missing, truncated or not an image; the message is one line with the path.
    """
    with image_errors(path), Image.open(path) as image:
        return as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """An opened image as RGB, loaded.

    `convert` copies an image that is RGB already, which costs as much as decoding when it is a large one; of the
    two formats that most photos have, the loaded image itself serves as well.
    """
    if image.mode == "RGB" and isinstance(image, JpegImageFile | PngImageFile):
        image.load()
        return image
    return image.convert("RGB")


@contextmanager
def image_errors(path: str) -> Iterator[None]:
    """Turn whatever a missing or broken image file makes Pillow raise into an `ImageError` of one line."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f'image file "{path}" does not exist; check the data root') from None
    except UnidentifiedImageError:
        raise ImageError(f'image file "{path}" is not an image, or is damaged; replace it') from None
    except Exception as error:  # Pillow's parsers let through whatever a broken file makes them trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f'image file "{path}" can\'t be read ({reason}); replace it') from error


class ImageFile:
    """The image file at `path`, read once for several transforms."""

    def __init__(self, path: str) -> None:
        self._path = path

    def opened_for(self, transform: Any) -> Any:
        """What a transform takes at its best speed: `photo`, or `image`, as for any foreign transform.

        Raises:
            ImageError: The file is missing or broken.
        """
        return self.photo if getattr(transform, "decodes", False) else self.image

    @cached_property
    def image(self) -> Image.Image:
        """The decoded image."""
        return read_image(self._path)

    @cached_property
    def photo(self) -> "Photo":
        """The image, its pixels not decoded yet."""
        return Photo(self._path)


LARGE = 1_000_000
"""Pixels of a file from which on that is worth the difference it makes."""


class Photo:
    """An image file whose size is known before its pixels are decoded.

    A JPEG of one or three channels is decoded by torchvision, or by Pillow at a part of its size; all other files
    are decoded as `read_image` does.

    Attributes:
        size: (W, H).

    Raises:
        ImageError: The file is missing or not an image; a broken one is noticed when it is decoded.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with image_errors(path):
            with open(path, "rb") as file:
                self._data = file.read()
            with Image.open(io.BytesIO(self._data)) as image:
                self.size: tuple[int, int] = image.size
                self._is_jpeg = isinstance(image, JpegImageFile) and image.mode in ("RGB", "L")

    @cached_property
    def pixels(self) -> Tensor:
        """All pixels. Shape: [3, H, W], uint8

        Raises:
            ImageError: The file is broken.
        """
        if self._is_jpeg:
            try:
                return decode_jpeg(torch.frombuffer(bytearray(self._data), dtype=torch.uint8), ImageReadMode.RGB)
            except (RuntimeError, AttributeError):  # what it refuses, or a torchvision without it: Pillow decides
                pass
        with image_errors(self._path), Image.open(io.BytesIO(self._data)) as image:
            return pixels_of(as_rgb(image))

    def shrink_for(self, region: tuple[int, int], size: tuple[int, int]) -> int:
        """How much smaller the file may be decoded where a region of it becomes an image of `size`.

        The decoded region stays at least twice as large as the image in both directions, so that what the decoder
        does to the pixels is filtered once more.

        Args:
            region: (W, H) of the region, in pixels of the file.
            size: (W, H) of the image.

        Returns:
            What both sides are divided by: 1, 2, 4 or 8; 1 for all but a large JPEG.
        """
        if not self._is_jpeg or self.size[0] * self.size[1] < LARGE:
            return 1
        room = min(part // (2 * wanted) for part, wanted in zip(region, size, strict=True))
        return next((shrink for shrink in (8, 4, 2) if shrink <= room), 1)

    def shrunk(self, shrink: int) -> Image.Image:
        """The whole image, both sides divided by 1, 2, 4 or 8 and rounded up.

        Raises:
            ImageError: The file is broken.
        """
        with image_errors(self._path), Image.open(io.BytesIO(self._data)) as image:
            image.draft(None, tuple(max(1, side // shrink) for side in self.size))  # type: ignore[arg-type]
            return as_rgb(image)


class LoadedPhoto(Photo):
    """An image in memory, of any mode, for code that reads the files itself."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self.size = image.size
        self._is_jpeg = False

    @cached_property
    def pixels(self) -> Tensor:
        """All pixels. Shape: [3, H, W], uint8"""
        return pixels_of(self._image.convert("RGB"))


def pixels_of(image: Image.Image) -> Tensor:
    """The pixels of an RGB image, without a copy into planes. Shape: [3, H, W], uint8"""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
