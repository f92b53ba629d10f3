"""Colours by name, with jitter, and contrast between them."""

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]

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
