"""A folder of small photos, and classifiers that have learned them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lamm
from tests.estimator.small_photos import COLOURS, NAMES, classifier, photo, photos_of


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of each of four classes, in a folder each."""
    top, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in zip(NAMES, COLOURS, strict=True):
        (top / name).mkdir()
        for number in range(8):
            Image.fromarray(photo(colour, generator)).save(top / name / f"{number}.png")
    return top


@pytest.fixture(scope="session")
def whole(folder: Path) -> lamm.Classifier:
    """All four classes, with folds."""
    return classifier(folds=2).fit(*photos_of(folder))


@pytest.fixture
def fitted(folder: Path) -> Iterator[lamm.Classifier]:
    """Three of the classes."""
    return classifier().fit(*photos_of(folder, *NAMES[:3]))


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As many as a user's machine has at least; tests beside each other have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
