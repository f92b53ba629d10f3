"""Pictures that are the same in each run of the tests."""

import numpy as np
from PIL import Image


def noise(width: int, height: int, spread: float = 60.0, seed: int = 1) -> Image.Image:
    """A colour picture of grey noise around 128, whose standard deviation is `spread`."""
    values = np.random.default_rng(seed).normal(128, spread, (height, width))
    return Image.fromarray(values.clip(0, 255).astype("uint8")).convert("RGB")
