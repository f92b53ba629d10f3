"""The image tower in parts: its features, tokens and gradients are those of the tower as it is.

Letters: B images, N positions, W width of the image tower, E embedding size.
"""

import copy
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lamm.clip.image_encoder import ImageEncoder, image_encoder_of
from lamm.clip.loading import wrap_clip
from lamm.clip.vision import encode_with_prompts
from tests.clip import small_clip_models as small
from tests.clip.test_vision import LAYERS, MAKES, SIDE, random_prompts, written_out

IN_PARTS = ("open_clip", "custom_text", "layer scale", "no ln_pre", "clip_package")


def made(make: str) -> Any:
    model = small.clip_package_model(small.RESNET, vocabulary=64) if make == "resnet" else MAKES[make]()
    return model.visual.requires_grad_(False)


@pytest.mark.parametrize("make", IN_PARTS)
def test_features_are_the_towers(make: str, monkeypatch: pytest.MonkeyPatch) -> None:
    visual, images = made(make), small.images(SIDE, 5)
    encoder = image_encoder_of(visual, images[:1])
    assert encoder is not None
    expected = written_out(visual, images, [])
    torch.testing.assert_close(encoder.encode(images), expected, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr("lamm.clip.image_encoder.BYTES_AT_ONCE", 1)
    shares: list[int] = []
    visual.conv1.register_forward_hook(lambda _, given, __: shares.append(len(given[0])))
    with torch.no_grad():
        torch.testing.assert_close(encoder.encode(images), expected, rtol=1e-5, atol=1e-5)
        encoder.encode(images[:1])
    assert shares == [3, 2, 1]


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


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace", "ignore::torch.jit.TracerWarning")
def test_a_tower_can_be_traced() -> None:
    visual, images = made("open_clip"), small.images(SIDE, 3)
    encoder = ImageEncoder(visual)

    class Module(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return encoder.encode(images)

    with torch.no_grad():
        expected = encoder.encode(images)
        traced = torch.jit.trace(Module(), images)(images)
    torch.testing.assert_close(traced, expected, rtol=1e-5, atol=1e-5)


def test_in_bf16_features_are_as_near_to_fp32_as_the_towers_own() -> None:
    visual, images = made("open_clip"), small.images(SIDE, 16)
    exact = visual(images)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        own, plain = ImageEncoder(visual).encode(images).float(), visual(images).float()
    assert (own - exact).norm() <= 1.2 * (plain - exact).norm()


def test_in_bf16_gradients_are_as_near_to_fp32_as_the_towers_own() -> None:
    visual, images, prompts = made("clip_package"), small.images(SIDE, 16), random_prompts(2)
    encoder = ImageEncoder(visual)

    def gradient(encode: Callable[[], Tensor], precision: torch.dtype) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            features = encode()
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(6))
        return torch.cat(torch.autograd.grad((features.float() * weights).sum(), [prompts.first, *prompts.deep]))

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        encoder.encode(images, prompts)  # what is cast here is of no use for gradients
    exact, own = (gradient(lambda: encoder.encode(images, prompts), one) for one in (torch.float32, torch.bfloat16))
    plain = gradient(lambda: encode_with_prompts(visual, images, prompts), torch.bfloat16)
    assert (own - exact).norm() <= 1.2 * (plain - exact).norm()


def test_casts_follow_the_weights_and_are_neither_saved_nor_pickled_nor_copied(small_model: Any) -> None:
    clip, images = wrap_clip(copy.deepcopy(small_model), "small"), small.images(SIDE, 3)
    clip.precision = "bf16"
    names, size = set(clip.state_dict()), len(pickle.dumps(clip))
    before = clip.image_features(images)
    assert set(clip.state_dict()) == names
    assert len(pickle.dumps(clip)) < size + 1000
    copied = copy.deepcopy(clip)
    clip.load_state_dict({name: value * 1.5 for name, value in clip.state_dict().items()})
    after = clip.image_features(images)
    assert not torch.equal(after, before)
    assert torch.equal(after, pickle.loads(pickle.dumps(clip)).image_features(images))
    assert torch.equal(before, copied.image_features(images))


def norm_twice(visual: Any) -> Any:
    visual.forward = lambda images, forward=visual.forward: forward(2 * images)
    return visual


def other_name(visual: Any) -> Any:
    visual.forward = lambda images: images.flatten(1)
    del visual.class_embedding
    return visual


@pytest.mark.parametrize(
    ("make", "change", "reason"),
    [
        ("resnet", lambda visual: visual, "it is a ModifiedResNet"),
        ("average", lambda visual: visual, "it does not read its feature at the class token"),
        ("open_clip", norm_twice, "its parts don't make up its features"),
        ("open_clip", other_name, "its parts don't make up its features"),
    ],
)
def test_another_tower_is_run_as_it_is(
    make: str, change: Callable[[Any], Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    visual = change(made(make))
    with caplog.at_level(logging.DEBUG, "lamm"):
        assert image_encoder_of(visual, small.images(SIDE, 1)) is None
    assert f"Image encoder: the tower as it is, because {reason}" in caplog.text
