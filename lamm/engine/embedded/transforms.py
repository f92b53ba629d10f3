"""From the names in `INPUT.TRANSFORMS` to the pipeline of training and test images.

The order of the names means nothing: the pipeline has one fixed order, and test images only know resizing, the
centre crop and the normalisations. The transforms are torchvision's; under `INPUT.DECODING fast`, decoding and the
first geometric steps are ours (docs/decoding.md).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import transforms as T
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode
from yacs.config import CfgNode as CN

from lamm.datasets import DATASETS, OWN
from lamm.engine.embedded.pipeline import Pipeline, PixelsToTensor, decoding_first
from lamm.engine.embedded.registry import ChoiceError
from lamm.errors import unknown_name

INTERPOLATION_MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST,
}

TRANSFORM_NAMES = (
    "random_translation",
    "random_crop",
    "random_resized_crop",
    "random_flip",
    "center_crop",  # accepted; test images are always centre-cropped
    "imagenet_policy",
    "cifar10_policy",
    "svhn_policy",
    "randaugment",
    "randaugment_fixmatch",
    "randaugment2",
    "colorjitter",
    "randomgrayscale",
    "gaussian_blur",
    "cutout",
    "normalize",
    "gaussian_noise",
    "instance_norm",
)

DECODINGS = ("exact", "fast")
ORIENTATIONS = ("auto", "apply", "ignore")

# A pipeline's step: the line that announces it, and what it does.
Step = tuple[str, Callable[[Any], Any]]


def build_transform(
    cfg: CN, is_train: bool = True, choices: Sequence[str] | None = None
) -> Callable[[Any], Any] | None:
    """Build the pipeline from a PIL image to a float tensor [3, height, width].

    Args:
        cfg: The config; its INPUT node is read.
        is_train: Training (augmented) or test pipeline.
        choices: Names that stand in for `cfg.INPUT.TRANSFORMS`.

    Returns:
        The pipeline, or None under `INPUT.NO_TRANSFORM`.

    Raises:
        ChoiceError: (an AssertionError and ValueError) an unknown transform, interpolation or decoding, a size that
            is not two positive numbers, or a choice that does not go with fast decoding.
    """
    decoding = decoding_of(cfg.INPUT)
    if cfg.INPUT.NO_TRANSFORM:
        print("Note: no transform is applied!")
        return None
    names = cfg.INPUT.TRANSFORMS if choices is None else choices
    for name in names:
        if name not in TRANSFORM_NAMES:
            raise ChoiceError(unknown_name("transform", str(name), TRANSFORM_NAMES))
    check_size(cfg.INPUT.SIZE)
    geometry = _train_steps(cfg.INPUT, set(names)) if is_train else _test_steps(cfg.INPUT)
    steps = [*geometry, ("to torch tensor of range [0, 1]", T.ToTensor())]
    steps += _tensor_steps(cfg.INPUT, set(names), is_train)
    print("Building transform_train" if is_train else "Building transform_test")
    for line, _ in steps:
        print(f"+ {line}")
    transforms = fused([transform for _, transform in steps])
    if decoding == "exact":
        return Pipeline(transforms)
    print("+ fast decoding")
    return Pipeline(decoding_first(transforms), decodes=True)


def decoding_of(options: CN) -> str:
    """`INPUT.DECODING`, one of `DECODINGS`; `exact` in a config without the key.

    Raises:
        ChoiceError: It is anything else.
    """
    chosen = str(options.get("DECODING", DECODINGS[0]))
    if chosen not in DECODINGS:
        raise ChoiceError(unknown_name("INPUT.DECODING", chosen, DECODINGS))
    return chosen


def upright_of(cfg: CN) -> bool:
    """Whether the images of a data set are turned as their EXIF orientation says: `INPUT.EXIF`, one of `ORIENTATIONS`.

    `auto` turns a user's own images, as every viewer does, and leaves a benchmark's as they are stored, as other
    implementations do.

    Raises:
        ChoiceError: It is anything else.
    """
    chosen = str(cfg.INPUT.get("EXIF", ORIENTATIONS[0]))
    if chosen not in ORIENTATIONS:
        raise ChoiceError(unknown_name("INPUT.EXIF", chosen, ORIENTATIONS))
    return chosen == "apply" or (chosen == "auto" and has_own_images(cfg))


def has_own_images(cfg: CN) -> bool:
    """Whether the config's data set is a user's own images: a folder or a list."""
    return cfg.DATASET.NAME in [DATASETS[name] for name in OWN]


def interpolation_mode(name: str) -> InterpolationMode:
    """The interpolation that `INPUT.INTERPOLATION` names.

    Raises:
        ChoiceError: The name is unknown.
    """
    if name not in INTERPOLATION_MODES:
        raise ChoiceError(unknown_name("INPUT.INTERPOLATION", name, INTERPOLATION_MODES))
    return INTERPOLATION_MODES[name]


def check_size(size: Sequence[int]) -> None:
    """Accept two positive whole numbers.

    Raises:
        ChoiceError: It is anything else.
    """
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ChoiceError(f"INPUT.SIZE has to be two whole numbers above 0 (height, width), got {size}")


def _test_steps(options: CN) -> list[Step]:
    height, width = options.SIZE
    resize = T.Resize(max(height, width), interpolation=interpolation_mode(options.INTERPOLATION))
    return [
        (f"resize the smaller edge to {max(height, width)}", resize),
        (f"{height}x{width} center crop", T.CenterCrop((height, width))),
    ]


def _train_steps(options: CN, names: set[str]) -> list[Step]:
    height, width = size = tuple(options.SIZE)
    mode = interpolation_mode(options.INTERPOLATION)
    steps: list[Step] = []
    if not names & {"random_crop", "random_resized_crop"}:
        steps.append((f"resize to {height}x{width}", T.Resize(size, interpolation=mode)))
    if "random_translation" in names:
        larger = T.Resize((round(height * 1.125), round(width * 1.125)))
        shifted = T.Compose([larger, T.RandomCrop(size)])
        steps.append(("random translation", T.RandomChoice([shifted, T.Resize(size)])))
    if "random_crop" in names:
        padding = options.CROP_PADDING
        steps.append((f"random crop (padding={padding})", T.RandomCrop(size, padding=padding)))
    if "random_resized_crop" in names:
        scale = tuple(options.RRCROP_SCALE)
        crop = T.RandomResizedCrop(size, scale=scale, interpolation=mode)
        steps.append((f"random resized crop (size={size}, scale={scale})", crop))
    if "random_flip" in names:
        steps.append(("random flip", T.RandomHorizontalFlip()))

    for policy in (AutoAugmentPolicy.IMAGENET, AutoAugmentPolicy.CIFAR10, AutoAugmentPolicy.SVHN):
        if f"{policy.value}_policy" in names:
            steps.append((f"{policy.value} policy", T.AutoAugment(policy)))
    n, m = options.RANDAUGMENT_N, options.RANDAUGMENT_M
    if "randaugment" in names:
        steps.append((f"randaugment (n={n}, m={m})", T.RandAugment(num_ops=n, magnitude=m)))
    # The two variants draw a strength for each operation, and do it with a probability.
    for name, probability in (("randaugment_fixmatch", 0.5), ("randaugment2", 0.6)):
        if name in names:
            any_strength = T.RandomChoice([T.RandAugment(num_ops=1, magnitude=strength) for strength in range(31)])
            operations = [T.RandomApply([any_strength], probability) for _ in range(n)]
            steps.append((f"{name} (n={n})", T.Compose(operations)))

    if "colorjitter" in names:
        b, c, s, h = (options[f"COLORJITTER_{letter}"] for letter in "BCSH")
        jitter = T.ColorJitter(b, c, s, h)
        steps.append((f"color jitter (brightness={b}, contrast={c}, saturation={s}, hue={h})", jitter))
    if "randomgrayscale" in names:
        steps.append((f"random gray scale (p={options.RGS_P})", T.RandomGrayscale(options.RGS_P)))
    if "gaussian_blur" in names:
        blur = T.RandomApply([T.GaussianBlur(options.GB_K)], options.GB_P)
        steps.append((f"gaussian blur (kernel={options.GB_K}, p={options.GB_P})", blur))
    return steps


def _tensor_steps(options: CN, names: set[str], is_train: bool) -> list[Step]:
    steps: list[Step] = []
    if "cutout" in names and is_train:
        n, length = options.CUTOUT_N, options.CUTOUT_LEN
        height, width = options.SIZE
        if not 0 < length < min(height, width):
            raise ChoiceError(
                f"INPUT.CUTOUT_LEN has to lie between 0 and the image's side, got {length} for {height}x{width}"
            )
        share = length**2 / (height * width)
        hole = T.RandomErasing(p=1.0, scale=(share, share), ratio=(1.0, 1.0), value=0)
        steps.append((f"cutout (n_holes={n}, length={length})", T.Compose([hole] * n)))
    if "normalize" in names:
        steps.append(normalization(options))
    if "gaussian_noise" in names and is_train:
        noise = GaussianNoise(options.GN_MEAN, options.GN_STD)
        steps.append((f"gaussian noise (mean={options.GN_MEAN}, std={options.GN_STD})", T.RandomApply([noise], 0.5)))
    if "instance_norm" in names:
        steps.append(("instance normalization", InstanceNormalization()))
    return steps


def normalization(options: CN) -> Step:
    """The step that `normalize` names, from the INPUT node."""
    mean, std = list(options.PIXEL_MEAN), list(options.PIXEL_STD)
    return f"normalization (mean={mean}, std={std})", T.Normalize(mean=mean, std=std)


def fused(transforms: list[Any]) -> list[Any]:
    """The same steps, a conversion to a tensor and the normalisation right behind it as one."""
    steps: list[Any] = []
    for transform in transforms:
        if isinstance(transform, T.Normalize) and steps and isinstance(steps[-1], T.ToTensor):
            steps[-1] = PixelsToTensor(transform.mean, transform.std)
        else:
            steps.append(transform)
    return steps


class GaussianNoise(nn.Module):
    """Add normally distributed noise with this mean and standard deviation to an image tensor."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, image: Tensor) -> Tensor:
        """Image [C, H, W] → noisy image [C, H, W]."""
        return image + torch.randn_like(image) * self.std + self.mean


class InstanceNormalization(nn.Module):
    """Give each channel of an image tensor mean 0 and standard deviation 1 over its own pixels."""

    def forward(self, image: Tensor) -> Tensor:
        """Image [C, H, W] → normalised image [C, H, W]."""
        mean = image.mean(dim=(1, 2), keepdim=True)
        std = image.std(dim=(1, 2), keepdim=True)
        return (image - mean) / (std + 1e-8)
