"""Digits and letters rendered from the fonts of matplotlib (DejaVu, STIX, Computer Modern)."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lamm.errors import LammError

SIZE = 64
CANVAS = 96
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralItalic",
    "STIXGeneralBol",
    "cmr10",
    "cmss10",
    "cmtt10",
    "cmb10",
)


def _font_folder() -> Path:
    try:
        import matplotlib
    except ImportError as error:
        raise LammError("rendering digits needs matplotlib's fonts: pip install matplotlib") from error
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=4096)
def _glyph(character: str, font: str, weight: int) -> Image.Image:
    """A character in white on black, which fills the canvas up to a margin.

    `weight` thickens (> 0) or thins (< 0) the strokes.
    """
    face = ImageFont.truetype(str(_font_folder() / f"{font}.ttf"), 160)
    left, top, right, bottom = face.getbbox(character)
    drawn = Image.new("L", (int(right - left) + 24, int(bottom - top) + 24), 0)
    ImageDraw.Draw(drawn).text((12 - left, 12 - top), character, fill=255, font=face)
    if weight > 0:
        drawn = drawn.filter(ImageFilter.MaxFilter(2 * weight + 1))
    elif weight < 0:
        drawn = drawn.filter(ImageFilter.MinFilter(-2 * weight + 1))
    drawn = drawn.crop(drawn.getbbox())
    height = CANVAS - 20
    width = min(height, max(8, round(drawn.width * height / drawn.height)))
    canvas = Image.new("L", (CANVAS, CANVAS), 0)
    canvas.paste(drawn.resize((width, height), Image.Resampling.BILINEAR), ((CANVAS - width) // 2, 10))
    return canvas


def _bend(mask: Image.Image, rng: np.random.RandomState, strength: float) -> Image.Image:
    """Distort the canvas: each node of a 3 × 3 mesh moves by a normal random vector of `strength` pixels."""
    nodes = np.stack(np.meshgrid(np.linspace(0, CANVAS, 4), np.linspace(0, CANVAS, 4)), axis=-1)
    moved = nodes + rng.normal(0, strength, nodes.shape)
    mesh = []
    edges = np.linspace(0, CANVAS, 4).astype(int)
    for row in range(3):
        for column in range(3):
            box = (edges[column], edges[row], edges[column + 1], edges[row + 1])
            corners = (
                moved[row, column],
                moved[row + 1, column],
                moved[row + 1, column + 1],
                moved[row, column + 1],
            )
            mesh.append((tuple(int(v) for v in box), tuple(float(v) for corner in corners for v in corner)))
    return mask.transform((CANVAS, CANVAS), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _placed(mask: Image.Image, rng: np.random.RandomState) -> Image.Image:
    """Stretch, slant, rotate and shift the canvas at random, to an image of `SIZE` × `SIZE` pixels."""
    turn, slant = rng.normal(0, 0.12), rng.normal(0.0, 0.18)
    tall, wide = rng.uniform(0.62, 1.08), rng.uniform(0.55, 1.05)
    cos, sin = np.cos(turn), np.sin(turn)
    forward = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, -slant], [0, 1]]) @ np.diag([wide, tall])
    backward = np.linalg.inv(forward * SIZE / (CANVAS - 20))
    shift = rng.normal(0, 2.5, 2)
    offset = CANVAS / 2 - backward @ (np.array([SIZE / 2, SIZE / 2]) + shift)
    a, b, c, d = (float(value) for value in backward.ravel())
    data = (a, b, float(offset[0]), c, d, float(offset[1]))
    return mask.transform((SIZE, SIZE), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)


def draw_glyph(character: str, rng: np.random.RandomState) -> NDArray[np.float32]:
    """A random rendering: distorted, slanted, thick or thin, often upscaled from a very low resolution.

    Returns:
        The ink's coverage of each pixel, in [0, 1]. Shape: (64, 64)
    """
    weight = int(rng.choice([-2, 0, 1, 3, 5], p=[0.1, 0.25, 0.25, 0.25, 0.15]))
    mask = _glyph(character, FONTS[rng.randint(len(FONTS))], weight)
    if rng.rand() < 0.7:
        mask = _bend(mask, rng, rng.uniform(1, 6))
    mask = _placed(mask, rng)
    if rng.rand() < 0.65:
        coarse = int(rng.choice([7, 8, 9, 10, 12, 16, 20]))
        mask = mask.resize((coarse, coarse), Image.Resampling.BOX).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    ink = np.asarray(mask, dtype=np.float32) / 255
    return np.clip(ink * rng.uniform(1.0, 1.5), 0, 1)
