"""Styles: what is done to a finished picture. They are the domain shifts of the data set `shapes`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


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
