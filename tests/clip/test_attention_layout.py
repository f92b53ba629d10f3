"""The image tower's attention gets contiguous products, and the same numbers."""

from typing import Any

import pytest
import torch
from torch import nn

from lamm.clip.loading import wrap_clip
from lamm.clip.vision import keep_attention_contiguous
from tests.clip import small_clip_models as small


def layouts(visual: Any) -> list[bool]:
    """Whether each attention's input lies in memory as [L, B, W]; filled when the tower runs."""
    seen: list[bool] = []
    for module in visual.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0].transpose(0, 1).is_contiguous()))
    return seen


@pytest.mark.parametrize("autocast", [False, True])
def test_features_and_gradients_stay_and_the_layout_turns(autocast: bool) -> None:
    found = []
    for turned in (False, True):
        visual = small.open_clip_model().visual.requires_grad_(False)
        if turned:
            keep_attention_contiguous(visual)
        seen = layouts(visual)
        images = small.images(32, count=3).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            features = visual(images)
        (gradient,) = torch.autograd.grad(features.float().sum(), images)
        assert seen == [turned] * 2
        found.append((features, gradient))
    bound = 2e-2 if autocast else 1e-6  # bf16 has 8 bits
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= bound * one.norm()


def test_torchs_fused_inference_gets_its_input_as_it_is() -> None:
    visual = small.open_clip_model().visual
    keep_attention_contiguous(visual)
    seen = layouts(visual)
    with torch.no_grad():
        visual(small.images(32, count=3))
    assert not any(seen)


def test_a_model_that_is_wrapped_twice_has_the_hook_once() -> None:
    model = small.open_clip_model()
    for _ in range(2):
        wrap_clip(model, "small")
    blocks = model.visual.transformer.resblocks
    assert [len(block.attn._forward_pre_hooks) for block in blocks] == [1, 1]
