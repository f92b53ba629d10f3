"""The steps of a pipeline that are ours: pixels into a tensor, and the first steps of fast decoding.

Under `INPUT.DECODING fast` a resize or crop that begins a pipeline decodes the image file itself (`Photo`): at a part
of its size where enough pixels are left over, and with torchvision's decoder. docs/decoding.md has what that saves and
how much pixels differ.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from lamm.engine.embedded.decoding import LoadedPhoto, Photo, pixels_of
from lamm.engine.embedded.registry import ChoiceError

FAST_MODES = {
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
}

# (top, left, H, W)
Box = tuple[int, int, int, int]


class Pipeline(T.Compose):
    """torchvision's `Compose`, from an image to a tensor.

    With `decodes`, the first step decodes image files itself (`INPUT.DECODING fast`); it takes a PIL image as well.
    """

    def __init__(self, transforms: list[Any], decodes: bool = False) -> None:
        super().__init__(transforms)
        self.decodes = decodes


class PixelsToTensor:
    """torchvision's `ToTensor` followed by its `Normalize`, with the same bits out and half the passes over memory."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._reference = T.Compose([T.ToTensor(), T.Normalize(mean=mean, std=std)])
        self._plain = len(mean) == len(std) == 3 and all(std)
        self._mean, self._std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))

    def __call__(self, image: Any) -> Tensor:
        """An RGB image, PIL or uint8 tensor [3, H, W] → [3, H, W]; whatever else `ToTensor` takes goes to it."""
        if self._plain and isinstance(image, Image.Image) and image.mode == "RGB":
            pixels = pixels_of(image)
        elif self._plain and isinstance(image, Tensor) and image.dtype == torch.uint8 and image.shape[0] == 3:
            pixels = image
        else:
            return self._reference(image)
        dtype = torch.get_default_dtype()
        out = pixels.to(dtype, memory_format=torch.contiguous_format).div_(255)
        return out.sub_(self._mean.to(dtype)).div_(self._std.to(dtype))


def decoding_first(transforms: Sequence[Any]) -> list[Any]:
    """The same steps with a first one that decodes.

    Args:
        transforms: torchvision's, of PIL images, and `PixelsToTensor`.

    Raises:
        ChoiceError: They do not begin with a resize or a random resized crop, bilinear or bicubic.
    """
    head, rest = transforms[0], list(transforms[1:])
    first: FastResize
    if getattr(head, "interpolation", None) not in FAST_MODES or not isinstance(head, T.RandomResizedCrop | T.Resize):
        raise ChoiceError(
            "INPUT.DECODING fast needs images that are first resized, or cropped by random_resized_crop, bilinear or "
            "bicubic: change INPUT.TRANSFORMS or INPUT.INTERPOLATION, or set it to exact"
        )
    if isinstance(head, T.RandomResizedCrop):
        first = FastRandomResizedCrop(tuple(head.size), tuple(head.scale), head.interpolation)
    elif isinstance(rest[0], T.CenterCrop):
        first = FastCenterCrop(tuple(rest.pop(0).size), head.interpolation)
    else:
        first = FastResize(tuple(head.size), head.interpolation)
    takes_tensors = all(isinstance(step, T.RandomHorizontalFlip) for step in rest[:-1])
    if not (takes_tensors and isinstance(rest[-1], PixelsToTensor)):
        rest.insert(0, as_pil)
    return [first, *rest]


class FastResize:
    """The whole image at a size (H, W), interpolated by a key of `FAST_MODES`; its aspect ratio changes."""

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
        from torchvision.transforms.v2 import (
            functional as F,  # a quarter of a second, which exact decoding does without
        )

        return F.resized_crop(photo.pixels, *box, list(self._size), self._mode, antialias=True)

    def _part(self, photo: Photo, shrink: int, region: tuple[float, float, float, float]) -> Image.Image:
        """A region (left, top, right, bottom), in pixels of the file, of the image decoded at a part of its size."""
        small = photo.shrunk(shrink)
        left, top, right, bottom = (edge / shrink for edge in region)
        box = (left, top, min(right, small.width), min(bottom, small.height))
        return small.resize(self._size[::-1], FAST_MODES[self._mode], box=box)


class FastRandomResizedCrop(FastResize):
    """A random region at a size; `scale` is the smallest and largest share of the area."""

    def __init__(self, size: tuple[int, int], scale: tuple[float, float], mode: InterpolationMode) -> None:
        super().__init__(size, mode)
        self._scale = list(scale)

    def _box(self, photo: Photo) -> Box:
        width, height = photo.size
        outline = torch.empty(3, height, width, dtype=torch.uint8, device="meta")
        return T.RandomResizedCrop.get_params(outline, self._scale, [3 / 4, 4 / 3])


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
        from torchvision.transforms.v2 import functional as F

        whole = F.resize(pixels, list(resized), self._mode, antialias=True)
        return whole[:, top : top + wanted_height, left : left + wanted_width]


def as_pil(image: Tensor | Image.Image) -> Image.Image:
    """What a geometric step gave, as the PIL image that policies and colour changes take."""
    return image if isinstance(image, Image.Image) else Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
