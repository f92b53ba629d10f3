"""Views of image files as a torch data set: each the same whenever and by whomever it is made."""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lamm.engine.embedded.pipeline import ImageFile


class View(NamedTuple):
    """One view of an image file: its path, and the key that its random numbers come from."""

    path: str
    key: bytes


class ViewDataset(Dataset[Tensor]):
    """Reads and transforms views; item i is the image of view i, (3, H, W).

    Args:
        views: what to make.
        transform: from an image, read the way it asks for, to a tensor; what it draws at random depends on the view's
            key alone.
    """

    def __init__(self, views: Sequence[View], transform: Callable[[Any], Tensor]) -> None:
        self._views, self._transform = views, transform

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> Tensor:
        path, key = self._views[index]
        image = ImageFile(path).opened_for(self._transform)
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            random.seed(key)
            np.random.seed(int.from_bytes(key[:4], "big"))
            torch.manual_seed(int.from_bytes(key[:8], "big") >> 1)
            return self._transform(image)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])
