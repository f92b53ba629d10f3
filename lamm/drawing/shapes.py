"""Shapes and textures.

An outline is a closed polygon with vertices in [-1, 1]² (x to the right, y downwards).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Vertices = NDArray[np.float64]


def _turn(count: int, start: float = -np.pi / 2) -> Vertices:
    """`count` angles of one full turn, beginning at `start` (default: straight up)."""
    return start + np.arange(count) * 2 * np.pi / count


def _polar(radius: NDArray[np.float64] | float, angle: NDArray[np.float64]) -> Vertices:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _star() -> Vertices:
    return _polar(np.where(np.arange(10) % 2 == 0, 1.0, 0.45), _turn(10))


def _cross() -> Vertices:
    a, b = 0.34, 0.92
    return np.array(
        [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
    )


def _heart() -> Vertices:
    t = _turn(60)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 17, -(y + 2.5) / 15.5], axis=1)


def _moon() -> Vertices:
    outer = _polar(0.95, np.linspace(np.pi * 0.28, np.pi * 1.72, 40))
    inner = _polar(0.78, np.linspace(np.pi * 1.60, np.pi * 0.40, 40)) + np.array([0.42, 0.0])
    return np.concatenate([outer, inner]) + np.array([0.18, 0.0])


def _arrow() -> Vertices:
    return np.array([(-0.3, 0.95), (-0.3, 0.0), (-0.8, 0.0), (0.0, -0.98), (0.8, 0.0), (0.3, 0.0), (0.3, 0.95)])


def _flower() -> Vertices:
    angle = _turn(120)
    return _polar(0.72 + 0.26 * np.cos(6 * (angle + np.pi / 2)), angle)


def _house() -> Vertices:
    return np.array(
        [(0.0, -0.98), (0.88, -0.15), (0.66, -0.15), (0.66, 0.88), (-0.66, 0.88), (-0.66, -0.15), (-0.88, -0.15)]
    )


OUTLINES: dict[str, Callable[[], Vertices]] = {
    "circle": lambda: _polar(0.92, _turn(60)),
    "square": lambda: np.array([(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)]),
    "triangle": lambda: _polar(1.0, _turn(3)) + np.array([0.0, 0.2]),
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "hexagon": lambda: _polar(0.95, _turn(6, 0.0)),
    "diamond": lambda: np.array([(0.0, -1.0), (0.72, 0.0), (0.0, 1.0), (-0.72, 0.0)]),
    "moon": _moon,
    "arrow": _arrow,
    "flower": _flower,
    "house": _house,
    "oval": lambda: _polar(0.95, _turn(60)) * np.array([1.0, 0.6]),
    "trapezoid": lambda: np.array([(-0.5, -0.7), (0.5, -0.7), (0.95, 0.7), (-0.95, 0.7)]),
    "bowl": lambda: _polar(0.95, np.linspace(0, np.pi, 40)) + np.array([0.0, -0.45]),
    "gear": lambda: _polar(np.where(np.arange(32) % 4 < 2, 0.95, 0.68), _turn(32)),
}


def draw_mask(shape: str, size: int, turn: float, scale: float, centre: tuple[float, float]) -> NDArray[np.float32]:
    """The filled outline as coverage in [0, 1], anti-aliased.

    Args:
        shape: a name in `OUTLINES`.
        size: height and width of the image, in pixels.
        turn: rotation in radians.
        scale: half the shape's extent as a share of half the image.
        centre: position of its middle, in [-1, 1]².

    Shape: (size, size)
    """
    cos, sin = np.cos(turn), np.sin(turn)
    turned = OUTLINES[shape]() @ np.array([[cos, sin], [-sin, cos]])
    fine = 2 * size
    points = ((turned * scale + np.array(centre)) + 1) * fine / 2
    canvas = Image.new("L", (fine, fine), 0)
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in points], fill=255)
    return np.asarray(canvas.reduce(2)).astype(np.float32) / np.float32(255)


Plane = NDArray[np.float32]
Texture = Callable[[Plane, Plane, np.random.RandomState], Plane]


def _tone(second: NDArray[np.bool_]) -> Plane:
    return second.astype(np.float32)


def _bricked(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    row = np.floor(v * 1.2)
    return _tone(((v * 1.2) % 1 < 0.25) | ((u * 0.7 + 0.5 * row) % 1 < 0.17))


def _speckled(u: Plane, v: Plane, rng: np.random.RandomState) -> Plane:
    size = u.shape[0]
    coarse = (rng.rand(size // 4, size // 4) * 255).astype(np.uint8)
    blotches = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    return _tone(blotches > 160)


# From the pattern's coordinates in periods, and a generator, to the share of the second tone.
TEXTURES: dict[str, Texture] = {
    "solid": lambda u, v, rng: np.zeros_like(u),
    "striped": lambda u, v, rng: _tone(u % 1 < 0.5),
    "dotted": lambda u, v, rng: _tone(np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.33),
    "checkered": lambda u, v, rng: _tone((np.floor(u * 1.4) + np.floor(v * 1.4)) % 2 == 0),
    "gridded": lambda u, v, rng: _tone((u % 1 < 0.25) | (v % 1 < 0.25)),
    "zigzag": lambda u, v, rng: _tone((v + np.abs(u % 1.4 - 0.7)) % 1 < 0.45),
    "ringed": lambda u, v, rng: _tone(np.hypot(u, v) % 1 < 0.5),
    "bricked": _bricked,
    "speckled": _speckled,
    "shaded": lambda u, v, rng: (u - u.min()) / (u.max() - u.min()),
    "wavy": lambda u, v, rng: _tone((v + 0.3 * np.sin(2 * np.pi * u * 0.6)) % 1 < 0.5),
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
