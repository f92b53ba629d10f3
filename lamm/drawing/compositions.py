"""A composition: one textured shape on a plain or lightly shaded ground.

`HELD_OUT` lists the compositions that the embedded model never sees in training: the classes of `shapes`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lamm.drawing.colours import colour_apart, contrast
from lamm.drawing.outlines import draw_mask
from lamm.drawing.styles import STYLES
from lamm.drawing.textures import draw_texture

SIZE = 64

# Textures that the classes of `shapes` are made of, and shapes; each shape has three of the textures held out.
HELD_OUT_TEXTURES = ("striped", "dotted", "checkered", "gridded", "zigzag", "ringed", "bricked", "speckled")
HELD_OUT_SHAPES = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "heart",
    "hexagon",
    "diamond",
    "moon",
    "arrow",
    "flower",
    "house",
)
HELD_OUT: tuple[tuple[str, str], ...] = tuple(
    (shape, HELD_OUT_TEXTURES[(row + step) % len(HELD_OUT_TEXTURES)])
    for row, shape in enumerate(HELD_OUT_SHAPES)
    for step in (0, 3, 5)
)


@dataclass(frozen=True)
class Composition:
    """A picture and what is in it, as the words of a caption."""

    picture: NDArray[np.uint8]
    shape: str
    texture: str
    colour: str
    ground: str
    size: str


def compose(shape: str, texture: str, rng: np.random.RandomState, style: str = "plain") -> Composition:
    """Draw a textured shape with random colours, size, place and turn.

    Args:
        shape: a name in `lamm.drawing.outlines.OUTLINES`.
        texture: a name in `lamm.drawing.textures.TEXTURES`.
        rng: the only source of randomness.
        style: a name in `lamm.drawing.styles.STYLES`.

    Returns:
        The picture, (64, 64, 3), and its words.
    """
    scale = rng.uniform(0.55, 0.92)
    room = 1.0 - scale
    centre = (rng.uniform(-room, room), rng.uniform(-room, room))
    mask = draw_mask(shape, SIZE, rng.uniform(-0.3, 0.3), scale, centre)
    tone = draw_texture(texture, SIZE, rng.uniform(10.0, 15.0), centre, rng)

    colour, first = colour_apart([], rng)
    second = colour_apart([first], rng, least=160.0)[1]
    ground_name, ground = colour_apart([first, second], rng, least=90.0)
    if rng.rand() < 0.15:  # no colour at all: the words stay true of shape and texture only
        first, second, ground = (np.full(3, plane.mean(), dtype=np.float32) for plane in (first, second, ground))
        if contrast(first, second) < 100:
            second = np.full(3, 255.0 if first[0] < 128 else 0.0, dtype=np.float32)
        colour = ground_name = ""

    inside = first + (second - first) * tone[:, :, None]
    light = np.linspace(-1, 1, SIZE, dtype=np.float32) * rng.uniform(-25, 25)
    outside = ground + (light[:, None, None] if rng.rand() < 0.5 else light[None, :, None])
    outside = outside + rng.normal(0, rng.uniform(0, 8), (SIZE, SIZE, 1))
    alpha = mask[:, :, None]
    picture = np.clip(inside * alpha + outside * (1 - alpha), 0, 255).astype(np.uint8)
    if rng.rand() < 0.3:
        soft = Image.fromarray(picture).resize((40, 40), Image.Resampling.BILINEAR)
        picture = np.asarray(soft.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    size = "large" if scale > 0.8 else "small" if scale < 0.65 else ""
    return Composition(STYLES[style](picture, rng), shape, texture, colour, ground_name, size)


def draw_composition(shape: str, texture: str, rng: np.random.RandomState, style: str = "plain") -> NDArray[np.uint8]:
    """The picture alone; see `compose`. Shape: (64, 64, 3)"""
    return compose(shape, texture, rng, style).picture


__all__ = ["HELD_OUT", "SIZE", "Composition", "compose", "draw_composition"]
