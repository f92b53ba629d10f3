"""Textures: patterns of two tones over the plane.

Each takes texture coordinates u, v (in periods, any shape) and a random source, and gives the share of the second
tone in [0, 1], of the same shape.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float32]
Texture = Callable[[Plane, Plane, np.random.RandomState], Plane]


def _tone(second: NDArray[np.bool_]) -> Plane:
    return second.astype(np.float32)


def _solid(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return np.zeros_like(u)


def _striped(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return _tone(u % 1 < 0.5)


def _dotted(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return _tone(np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.33)


def _checkered(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return _tone((np.floor(u * 1.4) + np.floor(v * 1.4)) % 2 == 0)


def _gridded(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return _tone((u % 1 < 0.25) | (v % 1 < 0.25))


def _zigzag(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return _tone((v + np.abs(u % 1.4 - 0.7)) % 1 < 0.45)


def _ringed(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return _tone(np.hypot(u, v) % 1 < 0.5)


def _bricked(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    row = np.floor(v * 1.2)
    return _tone(((v * 1.2) % 1 < 0.25) | ((u * 0.7 + 0.5 * row) % 1 < 0.17))


def _speckled(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    size = u.shape[0]
    coarse = (rng.rand(size // 4, size // 4) * 255).astype(np.uint8)
    blotches = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    return _tone(blotches > 160)


def _shaded(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return (u - u.min()) / (u.max() - u.min())


def _wavy(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    return _tone((v + 0.3 * np.sin(2 * np.pi * u * 0.6)) % 1 < 0.5)


TEXTURES: dict[str, Texture] = {
    "solid": _solid,
    "striped": _striped,
    "dotted": _dotted,
    "checkered": _checkered,
    "gridded": _gridded,
    "zigzag": _zigzag,
    "ringed": _ringed,
    "bricked": _bricked,
    "speckled": _speckled,
    "shaded": _shaded,
    "wavy": _wavy,
}

# How far a texture may turn, in radians: lines say what they are by their direction only a little.
TURN: dict[str, float] = {"striped": np.pi / 2, "gridded": 0.2, "checkered": 0.2, "bricked": 0.2, "zigzag": 0.3}


def draw_texture(
    texture: str, size: int, period: float, centre: tuple[float, float], rng: np.random.RandomState
) -> Plane:
    """The share of the second tone at each pixel.

    Args:
        texture: a name in `TEXTURES`.
        size: height and width, in pixels.
        period: length of one period, in pixels.
        centre: where rings have their middle, in [-1, 1]².
        rng: turns and shifts the pattern.

    Shape: (size, size)
    """
    limit = TURN.get(texture, np.pi)
    turn = rng.uniform(-limit, limit)
    shift = np.zeros(2) if texture == "ringed" else rng.uniform(0, 1, 2)
    line = np.arange(size, dtype=np.float32)
    x = line[None, :] - np.float32((centre[0] + 1) * size / 2)
    y = line[:, None] - np.float32((centre[1] + 1) * size / 2)
    u = (np.cos(turn) * x + np.sin(turn) * y) / period + shift[0]
    v = (np.cos(turn) * y - np.sin(turn) * x) / period + shift[1]
    return TEXTURES[texture](u.astype(np.float32), v.astype(np.float32), rng)
