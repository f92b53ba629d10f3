"""Ways from an image file to the tensor that a model takes, for measuring them side by side.

Each draws the same random crop under the same seed. Letters: H height, W width, in pixels.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as T
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional as F
from yacs.config import CfgNode

from lamm.engine.embedded.pipeline import ImageFile
from lamm.engine.embedded.transforms import build_transform

Way = Callable[[str], Tensor]

REFERENCE = "torchvision v1 on PIL"
OURS = ("exact", "fast")
MODE, RESAMPLE = T.InterpolationMode.BICUBIC, Image.Resampling.BICUBIC
SCALE, RATIO = [0.08, 1.0], [3 / 4, 4 / 3]


def ways(options: CfgNode, is_train: bool) -> dict[str, Way]:
    """The ways by name, the reference first; random resized crop and flip, or resize and centre crop.

    Args:
        options: A config with CLIP's INPUT node: square SIZE, bicubic, PIXEL_MEAN and PIXEL_STD.
        is_train: Training or test images.
    """
    edge = options.INPUT.SIZE[0]
    mean, std = options.INPUT.PIXEL_MEAN, options.INPUT.PIXEL_STD
    end = T.Compose([T.ToTensor(), T.Normalize(mean, std)])
    if is_train:
        crop = T.RandomResizedCrop(edge, scale=tuple(SCALE), interpolation=MODE)
        steps: list[Callable[[Any], Any]] = [crop, T.RandomHorizontalFlip()]
    else:
        steps = [T.Resize(edge, interpolation=MODE), T.CenterCrop(edge)]
    reference = T.Compose([*steps, end])
    tensors = _of_tensors(edge, mean, std, is_train)
    part = functools.partial(_pillow_part, edge=edge, is_train=is_train)
    # How a file is opened, and what becomes of that.
    made: dict[str, tuple[Callable[[str], Any], Callable[[Any], Tensor]]] = {
        REFERENCE: (_pillow, reference),
        "exact": _ours(options, "exact", is_train),
        "Pillow, resize(box=)": (part, end),
        "Pillow, resize(box=, reducing_gap=2)": (functools.partial(part, gap=2.0), end),
        "Pillow, draft, resize(box=)": (functools.partial(part, draft=True), end),
        "Pillow, torchvision v2 on tensors": (_pillow_tensor, tensors),
        "decode_jpeg, torchvision v2 on tensors": (_decode_jpeg, tensors),
        "fast": _ours(options, "fast", is_train),
    }
    return {name: functools.partial(_in_turn, *steps) for name, steps in made.items()}


def _in_turn(opens: Callable[[str], Any], transform: Callable[[Any], Tensor], path: str) -> Tensor:
    return transform(opens(path))


def _pillow(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _pillow_tensor(path: str) -> Tensor:
    return F.pil_to_tensor(_pillow(path))


def _decode_jpeg(path: str) -> Tensor:
    return decode_jpeg(read_file(path), ImageReadMode.RGB)


def _ours(options: CfgNode, decoding: str, is_train: bool) -> tuple[Callable[[str], Any], Callable[[Any], Tensor]]:
    chosen = options.clone()
    chosen.INPUT.DECODING = decoding
    transform = build_transform(chosen, is_train)
    assert transform is not None, "the options hold no INPUT.NO_TRANSFORM"
    return lambda path: ImageFile(path).opened_for(transform), transform


def _of_tensors(edge: int, mean: list[float], std: list[float], is_train: bool) -> Callable[[Tensor], Tensor]:
    """[3, H, W] uint8 → [3, edge, edge] normalised, in torchvision's functions for tensors."""

    def transform(pixels: Tensor) -> Tensor:
        if is_train:
            box = T.RandomResizedCrop.get_params(pixels, SCALE, RATIO)
            pixels = F.resized_crop(pixels, *box, [edge, edge], MODE, antialias=True)
            pixels = F.horizontal_flip(pixels) if torch.rand(1) < 0.5 else pixels
        else:
            pixels = F.center_crop(F.resize(pixels, [edge], MODE, antialias=True), [edge, edge])
        return F.normalize(F.to_dtype(pixels, torch.float32, scale=True), mean, std)

    return transform


def _pillow_part(path: str, edge: int, is_train: bool, gap: float | None = None, draft: bool = False) -> Image.Image:
    """The crop through one call of Pillow's resize, out of an image that is perhaps decoded smaller."""
    with Image.open(path) as image:
        width, height = image.size
        if is_train:
            top, left, tall, wide = T.RandomResizedCrop.get_params(image, SCALE, RATIO)
        else:
            tall = wide = min(width, height)
            top, left = (height - tall) // 2, (width - wide) // 2
        if draft:
            shrink = max(1, min(tall, wide) // edge)
            image.draft("RGB", (width // shrink, height // shrink))
        loaded = image.convert("RGB")
    x, y = loaded.width / width, loaded.height / height
    box = (left * x, top * y, (left + wide) * x, (top + tall) * y)
    part = loaded.resize((edge, edge), RESAMPLE, box=box, reducing_gap=gap)
    flip = is_train and torch.rand(1) < 0.5
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else part
