"""Reading an image file."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from torch import Tensor
from torchvision import transforms as T
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from lamm.engine.embedded.registry import ChoiceError
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
    """Turn whatever a missing or broken image file makes Pillow raise into one line.

    Raises:
        ImageError: In place of the exception.
    """
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f'image file "{path}" does not exist; check the data root') from None
    except UnidentifiedImageError:
        raise ImageError(f'image file "{path}" is not an image, or is damaged; replace it') from None
    except Exception as error:  # Pillow's parsers let through whatever a broken file makes them trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f'image file "{path}" can\'t be read ({reason}); replace it') from error


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


class Pipeline(T.Compose):
    """torchvision's `Compose`, from an image to a tensor.

    Args:
        transforms: Its steps.
        decodes: The first step decodes image files itself (`INPUT.DECODING fast`). A PIL image is taken all the same.
    """

    def __init__(self, transforms: list[Any], decodes: bool = False) -> None:
        super().__init__(transforms)
        self.decodes = decodes


class ImageFile:
    """An image file that is read once for several transforms.

    Args:
        path: Of the file.
    """

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
    def photo(self) -> Photo:
        """The image, its pixels not decoded yet."""
        return Photo(self._path)


class PixelsToTensor:
    """torchvision's `ToTensor` followed by its `Normalize`, with the same bits out and half the passes over memory.

    Args:
        mean: Of red, green, blue; pixels are in [0, 1].
        std: Standard deviation of red, green, blue.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._reference = T.Compose([T.ToTensor(), T.Normalize(mean=mean, std=std)])
        self._plain = len(mean) == len(std) == 3 and all(std)
        self._mean, self._std = list(mean), list(std)

    def __call__(self, image: Any) -> Tensor:
        """An RGB image, PIL or uint8 tensor [3, H, W] → [3, H, W]; whatever else `ToTensor` takes goes to it."""
        if self._plain and isinstance(image, Image.Image) and image.mode == "RGB":
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        elif self._plain and isinstance(image, Tensor) and image.dtype == torch.uint8 and image.shape[0] == 3:
            pixels = image
        else:
            return self._reference(image)
        dtype = torch.get_default_dtype()
        out = torch.empty(pixels.shape, dtype=dtype).copy_(pixels).div_(255)
        mean, std = (torch.as_tensor(values, dtype=dtype).view(3, 1, 1) for values in (self._mean, self._std))
        return out.sub_(mean).div_(std)


FAST_MODES = {
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
}
RATIO = [3 / 4, 4 / 3]

# (top, left, H, W)
Box = tuple[int, int, int, int]


def decoding_first(transforms: Sequence[Any]) -> list[Any]:
    """The same steps with a first one that decodes.

    Args:
        transforms: torchvision's, of PIL images, and `PixelsToTensor`.

    Raises:
        ChoiceError: they don't begin with a resize or a random resized crop, bilinear or bicubic.
    """
    first, rest = _first_step(transforms)
    straight = all(isinstance(step, T.RandomHorizontalFlip) for step in rest[:-1])
    if not (straight and isinstance(rest[-1], PixelsToTensor)):
        rest = [as_pil, *rest]
    return [first, *rest]


def _first_step(transforms: Sequence[Any]) -> tuple[Any, list[Any]]:
    head, rest = transforms[0], list(transforms[1:])
    if getattr(head, "interpolation", None) in FAST_MODES:
        if isinstance(head, T.RandomResizedCrop):
            return FastRandomResizedCrop(tuple(head.size), tuple(head.scale), head.interpolation), rest
        if isinstance(head, T.Resize) and isinstance(rest[0], T.CenterCrop):
            return FastCenterCrop(tuple(rest[0].size), head.interpolation), rest[1:]
        if isinstance(head, T.Resize):
            return FastResize(tuple(head.size), head.interpolation), rest
    raise ChoiceError(
        "INPUT.DECODING fast needs images that are first resized, or cropped by random_resized_crop, bilinear or "
        "bicubic: change INPUT.TRANSFORMS or INPUT.INTERPOLATION, or set it to exact"
    )


class FastResize:
    """The whole image at a size, its aspect ratio not kept.

    Args:
        size: (H, W) of the result.
        mode: A key of `FAST_MODES`.
    """

    def __init__(self, size: tuple[int, int], mode: InterpolationMode) -> None:
        self._size, self._mode = size, mode

    def __call__(self, image: Any) -> Tensor | Image.Image:
        """A `Photo`, or a PIL image → RGB of the size: uint8 tensor [3, H, W], or a PIL image."""
        photo = image if isinstance(image, Photo) else LoadedPhoto(image)
        return self._region(photo, self._box(photo))

    def _box(self, photo: Photo) -> Box:
        width, height = photo.size
        return 0, 0, height, width

    def _region(self, photo: Photo, box: Box) -> Tensor | Image.Image:
        top, left, height, width = box
        shrink = photo.shrink_for((width, height), self._size[::-1])
        if shrink > 1:
            return self._part(photo, shrink, (left, top, left + width, top + height))
        return F.resized_crop(photo.pixels, *box, list(self._size), self._mode, antialias=True)

    def _part(self, photo: Photo, shrink: int, region: tuple[float, float, float, float]) -> Image.Image:
        """A region (left, top, right, bottom), in pixels of the file, of the image decoded at a part of its size."""
        small = photo.shrunk(shrink)
        left, top, right, bottom = (edge / shrink for edge in region)
        box = (left, top, min(right, small.width), min(bottom, small.height))
        return small.resize(self._size[::-1], FAST_MODES[self._mode], box=box)


class FastRandomResizedCrop(FastResize):
    """A random region at a size.

    Args:
        size: (H, W) of the result.
        scale: Smallest and largest share of the area.
        mode: A key of `FAST_MODES`.
    """

    def __init__(self, size: tuple[int, int], scale: tuple[float, float], mode: InterpolationMode) -> None:
        super().__init__(size, mode)
        self._scale = list(scale)

    def _box(self, photo: Photo) -> Box:
        width, height = photo.size
        outline = torch.empty(3, height, width, dtype=torch.uint8, device="meta")
        return T.RandomResizedCrop.get_params(outline, self._scale, RATIO)


class FastCenterCrop(FastResize):
    """The middle of the image after its smaller side has become the size's larger one."""

    def _region(self, photo: Photo, box: Box) -> Tensor | Image.Image:
        edge, (wanted_height, wanted_width) = max(self._size), self._size
        width, height = photo.size
        short, long = min(width, height), max(width, height)
        resized = (edge, int(edge * long / short)) if height <= width else (int(edge * long / short), edge)
        top, left = round((resized[0] - wanted_height) / 2), round((resized[1] - wanted_width) / 2)
        shrink = photo.shrink_for((width, height), resized[::-1])
        if width % shrink or height % shrink:  # the last pixels of the smaller image stand for less than the others
            x, y = width / resized[1], height / resized[0]
            region = (left * x, top * y, (left + wanted_width) * x, (top + wanted_height) * y)
            return self._part(photo, shrink, region)
        pixels = photo.pixels if shrink == 1 else pixels_of(photo.shrunk(shrink))
        whole = F.resize(pixels, list(resized), self._mode, antialias=True)
        return whole[:, top : top + wanted_height, left : left + wanted_width]


def as_pil(image: Tensor | Image.Image) -> Image.Image:
    """What a geometric step gave, as the PIL image that policies and colour changes take."""
    return image if isinstance(image, Image.Image) else Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
