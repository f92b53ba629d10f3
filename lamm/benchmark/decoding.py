"""Ways from an image file to the tensor that a model takes, and of a loader, for measuring them side by side.

Each draws the same random crop under the same seed. Letters: H height, W width, in pixels.
"""

import functools
import io
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from torchvision import transforms as T
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm
from yacs.config import CfgNode

from lamm.clip import tiny
from lamm.engine import Datum, build_data_loader, get_cfg_default
from lamm.engine.embedded.decoding import ImageFile
from lamm.engine.embedded.transforms import build_transform
from lamm.errors import DataError

Way = Callable[[str], Tensor]

REFERENCE = "torchvision v1 on PIL"
OURS = ("exact", "fast")
MODE, RESAMPLE = T.InterpolationMode.BICUBIC, Image.Resampling.BICUBIC
SCALE, RATIO = [0.08, 1.0], [3 / 4, 4 / 3]
TINY_SIZE = 32  # pixels of a side, of what the embedded model takes
PASSES = 6
QUALITY = 90


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
    tensors = _of_tensors(edge, mean, std, is_train)
    part = functools.partial(_pillow_part, edge=edge, is_train=is_train)
    # How a file is opened, and what becomes of that.
    steps_by_name: dict[str, tuple[Callable[[str], Any], Callable[[Any], Tensor]]] = {
        REFERENCE: (_pillow, T.Compose([*steps, end])),
        "exact": _ours(options, "exact", is_train),
        "Pillow, resize(box=)": (part, end),
        "Pillow, resize(box=, reducing_gap=2)": (functools.partial(part, gap=2.0), end),
        "Pillow, draft, resize(box=)": (functools.partial(part, draft=True), end),
        "Pillow, torchvision v2 on tensors": (lambda path: F.pil_to_tensor(_pillow(path)), tensors),
        "decode_jpeg, torchvision v2 on tensors": (
            lambda path: decode_jpeg(read_file(path), ImageReadMode.RGB),
            tensors,
        ),
        "fast": _ours(options, "fast", is_train),
    }

    def in_turn(opens: Callable[[str], Any], transform: Callable[[Any], Tensor], path: str) -> Tensor:
        return transform(opens(path))

    return {name: functools.partial(in_turn, *pair) for name, pair in steps_by_name.items()}


def _pillow(path: str) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _ours(options: CfgNode, decoding: str, is_train: bool) -> tuple[Callable[[str], Any], Callable[[Any], Tensor]]:
    chosen = options.clone()
    chosen.INPUT.DECODING = decoding
    with redirect_stdout(io.StringIO()):  # the engine's lines on building a pipeline
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


def pipeline(size: int) -> CfgNode:
    """A config with CLIP's INPUT node, for results of `size` pixels a side."""
    cfg = get_cfg_default()
    cfg.INPUT.SIZE = (size, size)
    cfg.INPUT.INTERPOLATION = "bicubic"
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "normalize")
    cfg.INPUT.PIXEL_MEAN = [0.48145466, 0.4578275, 0.40821073]
    cfg.INPUT.PIXEL_STD = [0.26862954, 0.26130258, 0.27577711]
    return cfg


def feature_cosines(paths: Sequence[str], is_train: bool) -> dict[str, tuple[float, float]]:
    """For our ways, the cosines of the embedded model's features with those of the reference: mean and lowest."""
    model: Any = tiny.load_weights()
    ways_by_name = ways(pipeline(TINY_SIZE), is_train)

    def features(name: str) -> Tensor:
        images = []
        for number, path in enumerate(paths):
            torch.manual_seed(number)
            images.append(ways_by_name[name](path))
        with torch.no_grad():
            return normalize(model.encode_image(torch.stack(images)), dim=-1)

    reference = features(REFERENCE)
    cosines = {name: (features(name) * reference).sum(-1) for name in OURS}
    return {name: (values.mean().item(), values.min().item()) for name, values in cosines.items()}


def pass_seconds(
    cfg: CfgNode, images: Sequence[Datum], loaders: Sequence[tuple[int, bool]], step: float, rounds: int
) -> dict[tuple[int, bool], float]:
    """The fastest round's mean seconds of a training pass, the first of each round left out.

    Args:
        cfg: Its DATALOADER node decides on the batches, its INPUT node on the images.
        images: Of the split.
        loaders: What to compare; they take turns. Each is a number of worker processes (0: the one that uses the
            images loads them), and whether they stay from pass to pass and start on the next one early.
        step: Seconds that are slept for each batch, as if a GPU worked on it.
        rounds: Times that each loader makes `PASSES` passes.
    """
    with redirect_stdout(io.StringIO()):  # the engine's lines on building a pipeline
        transform = build_transform(cfg)
    best = dict.fromkeys(loaders, float("inf"))
    for workers, keeps in tqdm([*loaders] * rounds, unit="round", leave=False, disable=None):
        chosen = cfg.clone()
        chosen.DATALOADER.NUM_WORKERS = workers
        batch_size = cfg.DATALOADER.TRAIN_X.BATCH_SIZE
        loader = build_data_loader(
            chosen, "RandomSampler", images, batch_size, tfm=transform, is_train=True, keeps_workers=keeps
        )
        for number in range(PASSES):
            if number == 1:
                start = time.perf_counter()
            for _ in loader:
                time.sleep(step)
        best[workers, keeps] = min((time.perf_counter() - start) / (PASSES - 1), best[workers, keeps])
    return best


def image_files(folder: Path, suffixes: Sequence[str], limit: int) -> list[Path]:
    """Image files from all over a folder.

    Raises:
        DataError: It is not a folder, or has none.
    """
    if not folder.is_dir():
        raise DataError(f"--images {folder} is not a folder; give one with images")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if not files:
        raise DataError(f"{folder} has no {' or '.join(suffixes)} file in it")
    return files[:: -(-len(files) // limit)]


def write_photos(folder: Path, size: tuple[int, int], count: int, seed: int = 0) -> list[Path]:
    """Write JPEG files that compress about as photos do: clouds of colour at all scales, and the noise of a sensor.

    Args:
        folder: Where to; it is made.
        size: Width and height in pixels.
        count: Number of files.
        seed: Of what they show.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(count):
        generator = np.random.default_rng([seed, number, *size])
        file = folder / f"{size[0]}x{size[1]}_{number}.jpg"
        Image.fromarray(_pixels(size, generator)).save(file, quality=QUALITY)
        files.append(file)
    return files


def _pixels(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Octaves of noise, each twice as fine and half as strong as the one before. Shape: [height, width, 3], uint8"""
    width, height = size
    total = np.full((height, width, 3), 128.0, dtype=np.float32)
    cells, strength = 2, 64.0
    while cells < min(size) // 2:
        rough = generator.uniform(0, 255, (cells, cells, 3)).astype(np.uint8)
        octave = Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)
        total += (np.asarray(octave, dtype=np.float32) / 127.5 - 1) * strength
        cells, strength = cells * 2, strength / 2
    total += generator.normal(0, 3, (height, width, 1)).astype(np.float32)
    return total.clip(0, 255).astype(np.uint8)
