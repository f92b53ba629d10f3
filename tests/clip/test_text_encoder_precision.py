"""The text encoders in bf16 and fp16: near the fp32 features, and the shared prefix near the plain encoder.

An fp16 number keeps 11 bits (2⁻¹¹ = 0.05 % rounding), a bf16 number 8 (0.4 %); every layer rounds a few times.
"""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import convert_weights_to_lp
from open_clip.transformer import LayerNorm, LayerNormFp32
from torch import Tensor

from lamm.clip.shared_prefix import SharedPrefixEncoder
from lamm.clip.text import PlainTextEncoder
from lamm.clip.text_tower import TextTower, text_tower_of
from tests.clip import small_clip_models as small
from tests.clip.text_sides import Sides, halve, random_sides

ENCODERS = (PlainTextEncoder, SharedPrefixEncoder)
LENGTHS = [1, 3, 12, 5, 8]
WIDTH = 128
COSINE = 0.999


@pytest.fixture(scope="module", params=["open_clip", "open_clip_mixed", "clip_package"])
def wide_model(request: pytest.FixtureRequest) -> Any:
    """A frozen fp32 model whose text tower has width 128 and 4 layers. Not to be changed.

    The mixed one has the norms that open_clip gives to models of which only the matrices are fp16.
    """
    if request.param == "clip_package":
        return small.clip_package_model(vocabulary=64, transformer_layers=4).requires_grad_(False)
    model = small.open_clip_model(vocabulary=64, layers=4)
    if request.param == "open_clip_mixed":
        for module in model.modules():
            if isinstance(module, LayerNorm):
                module.__class__ = LayerNormFp32
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def wide_tower(wide_model: Any) -> TextTower:
    """The view of its text tower. Not to be changed."""
    return text_tower_of(wide_model, "small")


def direction_and_gradients(features: Tensor, sides: Sides) -> list[Tensor]:
    """Unit features in fp32, and the gradients of everything learned: a training step's norm is outside of autocast."""
    unit = F.normalize(features.float(), dim=-1)
    weights = torch.randn(unit.shape, generator=torch.Generator().manual_seed(1))
    return [unit.detach(), *torch.autograd.grad((unit * weights).sum(), sides.learned)]


def assert_same_direction(found: list[Tensor], expected: list[Tensor], cosine: float) -> None:
    assert F.cosine_similarity(found[0], expected[0], dim=-1).min() > cosine
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert torch.isfinite(one).all()
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) >= cosine


@pytest.mark.parametrize("chunk", [0, 2])
@pytest.mark.parametrize("deep", [0, 3])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_bf16_autocast_keeps_the_direction_of_features_and_gradients(
    wide_tower: TextTower, encoder: Any, deep: int, chunk: int
) -> None:
    sides = random_sides(WIDTH, LENGTHS, groups=2, deep=deep)
    expected = direction_and_gradients(encoder(wide_tower).encode(*sides), sides)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(wide_tower, chunk).encode(*sides)
    assert features.dtype == torch.bfloat16
    assert_same_direction(direction_and_gradients(features, sides), expected, COSINE)


def test_a_frozen_prefix_in_bf16_keeps_the_direction_step_after_step(wide_tower: TextTower) -> None:
    sides = random_sides(WIDTH, LENGTHS, deep=2)
    sides = Sides(sides.prefix.detach(), sides.labels, sides.end, tuple(prompt.detach() for prompt in sides.deep))
    encoder = SharedPrefixEncoder(wide_tower)
    expected = direction_and_gradients(encoder.encode(*sides), sides)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder.encode(*sides)
        assert_same_direction(direction_and_gradients(features, sides), expected, COSINE)


@pytest.fixture(scope="module")
def half_tower(wide_model: Any) -> TextTower:
    """The view of the same model with fp16 weights."""
    model = copy.deepcopy(wide_model)
    mixed = isinstance(model.ln_final, LayerNormFp32)
    if mixed:
        convert_weights_to_lp(model, torch.float16)
    tower = text_tower_of(model, "small")
    if not mixed:
        halve(tower)
    try:
        x = torch.zeros(1, 2, WIDTH, dtype=torch.float16, requires_grad=True)
        tower.finish(tower.transform(x)).sum().backward()
    except RuntimeError as error:
        pytest.skip(f"this torch has no fp16 arithmetic on the CPU: {error}")
    return tower


@pytest.mark.parametrize(("groups", "deep", "chunk"), [(1, 0, 0), (3, 3, 0), (3, 3, 2)])
def test_with_fp16_weights_the_shared_prefix_is_as_near_to_fp32_as_the_plain_encoder(
    wide_tower: TextTower, half_tower: TextTower, groups: int, deep: int, chunk: int
) -> None:
    sides = random_sides(WIDTH, LENGTHS, groups=groups, deep=deep)
    expected = direction_and_gradients(PlainTextEncoder(wide_tower).encode(*sides), sides)
    found = []
    for encoder in (PlainTextEncoder(half_tower, chunk), SharedPrefixEncoder(half_tower, chunk)):
        features = encoder.encode(*sides)
        assert features.dtype == torch.float16
        found.append(direction_and_gradients(features, sides))
        assert all(gradient.dtype == torch.float32 for gradient in found[-1][1:])
    for plain, shared, exact in zip(*found, expected, strict=True):
        assert (shared - plain).norm() <= 0.01 * exact.norm()
    for encoded in found:
        assert_same_direction(encoded, expected, 0.9999)
