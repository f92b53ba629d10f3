"""Image files as transforms take them: decoded exactly, or fast and in part.

`ImageFile` is an image for any transform: Pillow's (`read_image`), or for a pipeline of `INPUT.DECODING fast` a
`Photo`, which knows its size before it is decoded and can be decoded at a part of it.
"""

import io
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from lamm.images import ImageError, as_rgb, image_errors, opened, read_image, turn_of

__all__ = ["ImageError", "ImageFile", "LoadedPhoto", "Photo", "pixels_of", "read_image"]


class ImageFile:
    """The image file at `path`, read once for several transforms.

    Args:
        path: Of the file.
        upright: Turn it as its EXIF orientation says.
    """

    def __init__(self, path: str, upright: bool = False) -> None:
        self._path, self._upright = path, upright

    def opened_for(self, transform: Any) -> Any:
        """What a transform takes at its best speed: `photo`, or `image`, as for any foreign transform.

        Raises:
            ImageError: The file is missing or broken.
        """
        return self.photo if getattr(transform, "decodes", False) else self.image

    @cached_property
    def image(self) -> Image.Image:
        """The decoded image."""
        return read_image(self._path, self._upright)

    @cached_property
    def photo(self) -> "Photo":
        """The image, its pixels not decoded yet."""
        return Photo(self._path, self._upright)

    @property
    def bytes(self) -> int:
        """The memory that the decoded image takes: Pillow has four bytes per pixel."""
        return 4 * self.image.width * self.image.height


SWAPPING = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
)
"""Turns that swap width and height."""

LARGE = 1_000_000
"""Pixels of a file from which on that is worth the difference it makes."""


class Photo:
    """An image file whose size is known before its pixels are decoded.

    A JPEG of one or three channels is decoded by torchvision, or by Pillow at a part of its size; all other files
    are decoded as `read_image` does, and so are those that have to be turned.

    Args:
        path: Of the file.
        upright: Turn it as its EXIF orientation says.

    Attributes:
        size: (W, H), of the upright image where it is turned.

    Raises:
        ImageError: The file is missing or not an image; a broken one is noticed when it is decoded.
    """

    def __init__(self, path: str, upright: bool = False) -> None:
        self._path, self._upright = path, upright
        with image_errors(path):
            with open(path, "rb") as file:
                self._data = file.read()
            with opened(io.BytesIO(self._data)) as image:
                turn = turn_of(image) if upright else None
                self.size: tuple[int, int] = image.size[::-1] if turn in SWAPPING else image.size
                self._is_jpeg = isinstance(image, JpegImageFile) and image.mode in ("RGB", "L")
                self._is_turned = turn is not None

    @cached_property
    def pixels(self) -> Tensor:
        """All pixels. Shape: [3, H, W], uint8

        Raises:
            ImageError: The file is broken.
        """
        if self._is_jpeg and not self._is_turned:
            try:
                return decode_jpeg(torch.frombuffer(bytearray(self._data), dtype=torch.uint8), ImageReadMode.RGB)
            except (RuntimeError, AttributeError):  # what it refuses, or a torchvision without it: Pillow decides
                pass
        with image_errors(self._path), opened(io.BytesIO(self._data)) as image:
            return pixels_of(as_rgb(image, self._upright))

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
        # The pixels at the end that stand for less than the others would come first in an image that is turned.
        fits = [shrink for shrink in (8, 4, 2, 1) if not (self._is_turned and any(side % shrink for side in self.size))]
        return next(shrink for shrink in fits if shrink <= max(1, room))

    def shrunk(self, shrink: int) -> Image.Image:
        """The whole image, both sides divided by 1, 2, 4 or 8 and rounded up.

        Raises:
            ImageError: The file is broken.
        """
        with image_errors(self._path), opened(io.BytesIO(self._data)) as image:
            image.draft(None, tuple(max(1, side // shrink) for side in image.size))  # type: ignore[arg-type]
            return as_rgb(image, self._upright)


class LoadedPhoto(Photo):
    """An image in memory, of any mode, for code that reads the files itself."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self.size = image.size
        self._is_jpeg = self._is_turned = False

    @cached_property
    def pixels(self) -> Tensor:
        """All pixels. Shape: [3, H, W], uint8"""
        return pixels_of(as_rgb(self._image))


def pixels_of(image: Image.Image) -> Tensor:
    """The pixels of an RGB image, without a copy into planes. Shape: [3, H, W], uint8"""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
