"""Fixtures of the CLIP tests: one small random model of each make, for its text tower."""

from typing import Any

import pytest

from lamm.clip.text_tower import TextTower, text_tower_of
from tests.clip import small_clip_models as small

MAKES = ("open_clip", "custom_text", "clip_package")


@pytest.fixture(scope="session", params=MAKES)
def text_model(request: pytest.FixtureRequest) -> Any:
    """A frozen fp32 CLIP of each make; text width 32, 2 heads, 3 layers, 77 positions. Not to be changed."""
    if request.param == "clip_package":
        sizes = {"transformer_width": 32, "transformer_heads": 2, "transformer_layers": 3}
        return small.clip_package_model(vocabulary=64, **sizes).requires_grad_(False)
    custom_text = request.param == "custom_text"
    return small.open_clip_model(custom_text, vocabulary=64, width=32, heads=2, layers=3).requires_grad_(False)


@pytest.fixture
def tower(text_model: Any) -> TextTower:
    """The view of `text_model`'s text tower."""
    return text_tower_of(text_model, "small")
