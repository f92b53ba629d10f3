"""Photos made by code: files for measuring decoders where there are no real ones."""

from pathlib import Path

import numpy as np
from PIL import Image

QUALITY = 90


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
