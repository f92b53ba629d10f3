"""The training pairs of the embedded model: pictures drawn by code, and captions of what is in them.

Left out are the compositions in `lamm.drawing.compositions.HELD_OUT` and every nickname of the data set `shapes`;
digits come from fonts, never from scans. The article is always "a", as in CLIP's template "a photo of a {}.".
"""

import numpy as np
from numpy.typing import NDArray

from lamm.drawing.colours import colour_apart
from lamm.drawing.compositions import HELD_OUT, SIZE, compose
from lamm.drawing.glyphs import draw_glyph
from lamm.drawing.outlines import OUTLINES
from lamm.drawing.textures import TEXTURES

IMAGE_SIZE = 32
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEMPLATES = (
    "a photo of a {}.",
    "a photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}.",
    "an image of a {}.",
    "a drawing of a {}.",
    "this is a {}.",
    "a {}.",
    "{}",
)
GLYPH_SHARE = 0.42
DIGIT_SHARE = 0.75

Picture = NDArray[np.uint8]


def _halved(picture: Picture) -> Picture:
    """64 × 64 to 32 × 32 by the mean of 2 × 2 blocks."""
    blocks = picture.reshape(IMAGE_SIZE, 2, IMAGE_SIZE, 2, 3).astype(np.uint16)
    return (blocks.sum(axis=(1, 3)) // 4).astype(np.uint8)


def composition_pair(rng: np.random.RandomState) -> tuple[Picture, str]:
    """A textured shape that is not held out, and a caption that tells some of what is seen."""
    shapes, textures = list(OUTLINES), list(TEXTURES)
    while True:
        shape, texture = shapes[rng.randint(len(shapes))], textures[rng.randint(len(textures))]
        if (shape, texture) not in HELD_OUT:
            break
    style = str(rng.choice(["plain", "sketch", "noisy"], p=[0.9, 0.05, 0.05]))
    drawn = compose(shape, texture, rng, style)
    words = [shape]
    if rng.rand() < 0.75:
        words.insert(0, texture)
    if drawn.colour and style != "sketch" and rng.rand() < 0.3:
        words.insert(rng.randint(len(words)), drawn.colour)
    if drawn.size and rng.rand() < 0.2:
        words.insert(0, drawn.size)
    phrase = " ".join(words)
    if drawn.ground and style != "sketch" and rng.rand() < 0.08:
        phrase += f" on {drawn.ground}"
    if style == "sketch" and rng.rand() < 0.5:
        return drawn.picture, f"a sketch of a {phrase}."
    return drawn.picture, TEMPLATES[rng.randint(len(TEMPLATES))].format(phrase)


def glyph_pair(rng: np.random.RandomState) -> tuple[Picture, str]:
    """A digit or a letter, and a caption."""
    if rng.rand() < DIGIT_SHARE:
        value = rng.randint(10)
        character, kind, name = str(value), str(rng.choice(["number", "digit"])), DIGITS[value]
    else:
        name = LETTERS[rng.randint(len(LETTERS))]
        character, kind = (name.upper() if rng.rand() < 0.5 else name), "letter"
    ink = draw_glyph(character, rng)[:, :, None]
    colour = ""
    if rng.rand() < 0.6:
        front, back = np.full(3, rng.uniform(200, 255)), np.full(3, rng.uniform(0, 40))
        if rng.rand() < 0.25:
            front, back = back, front
    else:
        colour, front = colour_apart([], rng)
        back = colour_apart([front], rng, least=180.0)[1]
    picture = ink * front + (1 - ink) * back + rng.normal(0, rng.uniform(0, 8), (SIZE, SIZE, 1))
    words = [name]
    if kind == "letter" or rng.rand() < 0.3:
        words.insert(0, kind)
    if colour and rng.rand() < 0.2:
        words.insert(0, colour)
    caption = TEMPLATES[rng.randint(len(TEMPLATES))].format(" ".join(words))
    return np.clip(picture, 0, 255).astype(np.uint8), caption


def draw_pairs(count: int, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    """`count` pictures, (count, 32, 32, 3), and their captions; the same for the same seed."""
    rng = np.random.RandomState(seed)
    pictures = np.empty((count, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    captions = []
    for index in range(count):
        make = glyph_pair if rng.rand() < GLYPH_SHARE else composition_pair
        picture, caption = make(rng)
        pictures[index] = _halved(picture)
        captions.append(caption)
    return pictures, captions
