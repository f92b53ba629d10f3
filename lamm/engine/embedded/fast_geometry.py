"""The geometric steps of a pipeline under `INPUT.DECODING fast`: decoding, cropping and resizing as one.

The crops are those of the exact steps under the same random numbers; resizing is torch's on bytes, which differs from
Pillow's by a level here and there. A JPEG with pixels to spare is decoded at a part of its size.

Letters: H height, W width, in pixels; sizes are (H, W) as in torchvision, but for Pillow's own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from lamm.engine.embedded.errors import ChoiceError
from lamm.engine.embedded.photo import LoadedPhoto, Photo, pixels_of
from lamm.engine.embedded.pixels_to_tensor import PixelsToTensor

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
