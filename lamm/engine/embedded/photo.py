"""An image file that is decoded when its pixels are asked for, and only as finely as they are needed.

Letters: H height, W width, in pixels.
"""

import io
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from lamm.engine.embedded.images import as_rgb, image_errors

# What a JPEG decoder can divide both sides by while it decodes.
SHRINKS = (8, 4, 2)
# Pixels of a file from which on that is worth the difference it makes.
LARGE = 1_000_000


class Photo:
    """An image file whose size is known before its pixels are decoded.

    A JPEG of one or three channels is decoded by torchvision, or by Pillow at a part of its size; all other files
    are decoded as `read_image` does.

    Args:
        path: Of the file.

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
        return next((shrink for shrink in SHRINKS if shrink <= room), 1)

    def shrunk(self, shrink: int) -> Image.Image:
        """The whole image, both sides divided by 1, 2, 4 or 8 and rounded up.

        Raises:
            ImageError: The file is broken.
        """
        with image_errors(self._path), Image.open(io.BytesIO(self._data)) as image:
            image.draft(None, tuple(max(1, side // shrink) for side in self.size))  # type: ignore[arg-type]
            return as_rgb(image)


class LoadedPhoto(Photo):
    """An image in memory, for code that reads the files itself.

    Args:
        image: Any image; other modes than RGB are converted.
    """

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
