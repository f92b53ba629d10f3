"""Outlines of the shapes, as closed polygons with vertices in [-1, 1]² (x to the right, y downwards)."""

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
