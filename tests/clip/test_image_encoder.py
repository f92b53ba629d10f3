"""The image tower in parts: its features, tokens and gradients are those of the tower as it is.

Letters: B images, N positions, W width of the image tower, E embedding size.
"""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lamm.clip.image_encoder import ImageEncoder, image_encoder_of
from lamm.clip.vision import encode_with_prompts
from tests.clip import small_clip_models as small
from tests.clip.test_vision import LAYERS, MAKES, SIDE, random_prompts, written_out

IN_PARTS = ("open_clip", "custom_text", "layer scale", "no ln_pre", "clip_package")


def made(make: str) -> Any:
    return MAKES[make]().visual.requires_grad_(False)


@pytest.mark.parametrize("make", IN_PARTS)
def test_features_are_the_towers(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    visual, images = made(make), small.images(SIDE, 5)
    encoder = image_encoder_of(visual, images[:1])
    assert encoder is not None
    expected = written_out(visual, images, [])
    torch.testing.assert_close(encoder.encode(images), expected, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr("lamm.clip.image_encoder.BYTES_AT_ONCE", 1)
    with torch.no_grad():
        torch.testing.assert_close(encoder.encode(images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", IN_PARTS)
@pytest.mark.parametrize(("depth", "count"), [(1, 4), (2, 2), (LAYERS, 1)])
def test_features_and_gradients_under_prompts_are_the_towers(make: str, depth: int, count: int) -> None:
    visual, images, prompts = made(make), small.images(SIDE, 3), random_prompts(depth, count)
    layers = [prompts.first, *prompts.deep]
    found = []
    for features in (ImageEncoder(visual).encode(images, prompts), encode_with_prompts(visual, images, prompts)):
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(6))
        found.append([features.detach(), *torch.autograd.grad((features * weights).sum(), layers)])
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()
    assert all(value.grad is None and not value.requires_grad for value in visual.parameters())


@pytest.mark.parametrize("block", range(LAYERS))
def test_tokens_are_what_the_tower_hands_to_a_block(block: int) -> None:
    visual, images = made("open_clip"), small.images(SIDE, 3)
    handed: list[Any] = []
    handle = visual.transformer.resblocks[block].register_forward_pre_hook(lambda _, given: handed.append(given[0]))
    visual(images)
    handle.remove()
    torch.testing.assert_close(ImageEncoder(visual).tokens(images, block), handed[0], rtol=1e-5, atol=1e-5)


def test_in_bf16_features_are_as_near_to_fp32_as_the_towers_own() -> None:
    visual, images = made("open_clip"), small.images(SIDE, 16)
    exact = visual(images)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        own, plain = ImageEncoder(visual).encode(images).float(), visual(images).float()
    assert (own - exact).norm() <= 1.2 * (plain - exact).norm()


def norm_twice(visual: Any) -> Any:
    visual.forward = lambda images, forward=visual.forward: forward(2 * images)
    return visual


@pytest.mark.parametrize(
    ("make", "change", "reason"),
    [
        ("average", lambda visual: visual, "it does not read its feature at the class token"),
        ("open_clip", norm_twice, "its parts don't make up its features"),
    ],
)
def test_another_tower_is_run_as_it_is(
    make: str, change: Callable[[Any], Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    visual = change(made(make))
    with caplog.at_level(logging.INFO, "lamm"):
        assert image_encoder_of(visual, small.images(SIDE, 1)) is None
    assert f"Image encoder: the tower as it is, because {reason}" in caplog.text
