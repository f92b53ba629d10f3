"""A composition: one textured shape on a plain or lightly shaded ground.

`HELD_OUT` lists the compositions that the embedded model never sees in training: the classes of `shapes`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lamm.drawing.shapes import draw_mask, draw_texture

Picture = NDArray[np.uint8]
Colour = NDArray[np.float32]

SIZE = 64

# Textures that the classes of `shapes` are made of, and shapes; each shape has three of the textures held out.
HELD_OUT_TEXTURES = ("striped", "dotted", "checkered", "gridded", "zigzag", "ringed", "bricked", "speckled")
HELD_OUT_SHAPES = (
    "circle", "square", "triangle", "star", "cross", "heart", "hexagon", "diamond", "moon", "arrow", "flower", "house",
)  # fmt: skip
HELD_OUT: tuple[tuple[str, str], ...] = tuple(
    (shape, HELD_OUT_TEXTURES[(row + step) % len(HELD_OUT_TEXTURES)])
    for row, shape in enumerate(HELD_OUT_SHAPES)
    for step in (0, 3, 5)
)
# Texture → the word for it in the names of the classes of `shapes`, which says little to a model that knows drawings.
NICKNAMES = {
    "striped": "zebra",
    "dotted": "ladybird",
    "checkered": "chessboard",
    "gridded": "waffle",
    "zigzag": "lightning",
    "ringed": "onion",
    "bricked": "wall",
    "speckled": "leopard",
}
PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (215, 40, 40),
    "green": (50, 160, 60),
    "blue": (45, 75, 210),
    "yellow": (240, 215, 50),
    "orange": (245, 140, 30),
    "purple": (135, 55, 165),
    "pink": (245, 140, 185),
    "brown": (125, 75, 40),
    "grey": (130, 130, 130),
    "white": (245, 245, 245),
    "black": (18, 18, 18),
}


@dataclass(frozen=True)
class Composition:
    """A picture and what is in it, as the words of a caption."""

    picture: Picture
    shape: str
    texture: str
    colour: str
    ground: str
    size: str


def compose(shape: str, texture: str, rng: np.random.RandomState, style: str = "plain") -> Composition:
    """Draw a textured shape with random colours, size, place and turn.

    Args:
        shape: a name in `lamm.drawing.shapes.OUTLINES`.
        texture: a name in `lamm.drawing.shapes.TEXTURES`.
        rng: the only source of randomness.
        style: a name in `lamm.drawing.compositions.STYLES`.

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


def draw_composition(shape: str, texture: str, rng: np.random.RandomState, style: str = "plain") -> Picture:
    """The picture alone; see `compose`. Shape: (64, 64, 3)"""
    return compose(shape, texture, rng, style).picture


def jittered(name: str, rng: np.random.RandomState) -> Colour:
    """The colour called `name`, each channel moved by a normal of 14 levels. Shape: (3,)"""
    return np.clip(np.array(PALETTE[name], dtype=np.float32) + rng.normal(0, 14, 3), 0, 255).astype(np.float32)


def contrast(one: Colour, other: Colour) -> float:
    """Euclidean distance in RGB, in levels (0 to 442)."""
    return float(np.linalg.norm(one - other))


def colour_apart(others: list[Colour], rng: np.random.RandomState, least: float = 110.0) -> tuple[str, Colour]:
    """A random named colour at least `least` levels from each of `others` (the farthest of 12 draws if none is)."""
    names = list(PALETTE)
    best: tuple[float, str, Colour] | None = None
    for _ in range(12):
        name = names[rng.randint(len(names))]
        colour = jittered(name, rng)
        distance = min((contrast(colour, other) for other in others), default=np.inf)
        if distance >= least:
            return name, colour
        if best is None or distance > best[0]:
            best = (distance, name, colour)
    assert best is not None
    return best[1], best[2]


def _plain(picture: Picture, rng: np.random.RandomState) -> Picture:
    return picture


def _sketch(picture: Picture, rng: np.random.RandomState) -> Picture:
    """Dark pencil lines on paper where the brightness changes."""
    grey = picture.astype(np.float32).mean(axis=2)
    across = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    down = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    lines = np.clip((across + down) / 60, 0, 1)
    paper = 245 - 190 * lines + rng.normal(0, 4, grey.shape)
    return np.repeat(np.clip(paper, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _noisy(picture: Picture, rng: np.random.RandomState) -> Picture:
    """Gaussian noise of 45 grey levels in blocks of 2 × 2 pixels."""
    height, width, channels = picture.shape
    noise = rng.normal(0, 45, (height // 2, width // 2, channels)).repeat(2, axis=0).repeat(2, axis=1)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _inverted(picture: Picture, rng: np.random.RandomState) -> Picture:
    return 255 - picture


STYLES: dict[str, Callable[[Picture, np.random.RandomState], Picture]] = {
    "plain": _plain,
    "sketch": _sketch,
    "noisy": _noisy,
    "inverted": _inverted,
}
