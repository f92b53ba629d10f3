"""What the shared-prefix encoder computes, what it does not compute again, and its QuickGELU."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from lamm_trainers.prompt_learner import PromptLearner
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from lamm.clip import prefix_attention
from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.clip.prefix_attention import HeadRows, KeysValues, attend, quick_gelu
from lamm.clip.shared_prefix import SharedPrefixEncoder, text_encoder_of, unsupported_reason
from lamm.clip.text import PlainTextEncoder
from lamm.clip.text_tower import TextTower, text_tower_of
from lamm.prompt_layout import FixedPrefix, Packing
from tests.clip import small_clip_models as small
from tests.clip.small_clip_models import Sides, assert_agree, halve, random_sides, run

GROUPS, PREFIX = 2, 5
LENGTHS = [1, 2, 20, 5]
LAYERS = 3


class RowCounter:
    """How many positions went through each block's second half since the last look."""

    def __init__(self, tower: TextTower) -> None:
        self.rows = [0] * len(tower.blocks)
        block: Any
        for number, block in enumerate(tower.blocks):
            block.ln_2.register_forward_hook(self._counting(number))

    def _counting(self, number: int) -> Any:
        def count(_: nn.Module, given: Sequence[Tensor], __: Tensor) -> None:
            self.rows[number] += given[0].numel() // given[0].shape[-1]

        return count

    def take(self) -> list[int]:
        rows, self.rows = self.rows, [0] * len(self.rows)
        return rows


@pytest.fixture
def own_tower(tower: TextTower) -> TextTower:
    """A copy of the tower, to be hooked or changed."""
    return copy.deepcopy(tower)


@pytest.fixture
def counter(own_tower: TextTower) -> RowCounter:
    return RowCounter(own_tower)


PREFIX_ROWS = [GROUPS * PREFIX] * (LAYERS - 1) + [0]
LABEL_ROWS = [GROUPS * sum(LENGTHS)] * (LAYERS - 1) + [GROUPS * len(LENGTHS)]
ALL_ROWS = [one + other for one, other in zip(PREFIX_ROWS, LABEL_ROWS, strict=True)]


def fixed(sides: Sides) -> Sides:
    """The sides with a prefix that never changes, and no deep prompts."""
    return sides._replace(prefix=FixedPrefix(sides.prefix), deep=())


@pytest.mark.parametrize("deep", [0, 2])
def test_a_learned_prefix_goes_through_the_tower_once_per_step_and_each_class_with_its_own_length(
    own_tower: TextTower, counter: RowCounter, deep: int
) -> None:
    encoder = SharedPrefixEncoder(own_tower)
    sides = random_sides(own_tower.width, LENGTHS, groups=GROUPS, prefix_length=PREFIX, deep=deep)
    for _ in range(2):
        encoder.encode(*sides)
        assert counter.take() == ALL_ROWS


def test_a_fixed_prefix_goes_through_the_tower_once_per_precision(own_tower: TextTower, counter: RowCounter) -> None:
    encoder = SharedPrefixEncoder(own_tower)
    sides = fixed(random_sides(own_tower.width, LENGTHS, groups=GROUPS, prefix_length=PREFIX))
    first = run(encoder, sides)
    assert counter.take() == ALL_ROWS
    second = run(encoder, sides)
    assert counter.take() == LABEL_ROWS
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert_agree(second, run(PlainTextEncoder(own_tower), sides))
    counter.take()
    with torch.autocast("cpu", torch.bfloat16):
        encoder.encode(*sides)
        assert counter.take() == ALL_ROWS
    encoder.encode(*sides)
    assert counter.take() == LABEL_ROWS
    assert encoder.encode(*sides).dtype == torch.float32
    halve(own_tower)
    counter.take()
    assert encoder.encode(*sides).dtype == torch.float16
    assert counter.take() == ALL_ROWS


def test_a_prefix_that_is_only_frozen_may_change(tower: TextTower) -> None:
    sides = random_sides(tower.width, LENGTHS, deep=2)
    sides = sides._replace(prefix=sides.prefix.detach(), deep=tuple(prompt.detach() for prompt in sides.deep))
    encoder = SharedPrefixEncoder(tower)
    for tensor in (sides.prefix, *sides.deep):
        encoder.encode(*sides)
        tensor[:, -1].mul_(3)  # in place, as an optimizer or a checkpoint does it
        assert torch.equal(encoder.encode(*sides), SharedPrefixEncoder(tower).encode(*sides))


def test_what_is_computed_from_a_fixed_prefix_is_a_plain_tensor() -> None:
    prefix = FixedPrefix(torch.randn(1, 3, 4, requires_grad=True))
    assert not prefix.requires_grad
    assert type(prefix + 1) is type(prefix[0]) is type(prefix.to(torch.float64)) is Tensor


def test_a_copied_fixed_prefix_starts_anew(tower: TextTower) -> None:
    sides = fixed(random_sides(tower.width, LENGTHS))
    SharedPrefixEncoder(tower).encode(*sides)
    copied = copy.deepcopy(sides.prefix)
    assert torch.equal(copied, sides.prefix)
    assert sides.prefix.keys_values
    assert not copied.keys_values


def test_a_prefix_that_was_encoded_in_inference_mode_serves_training(tower: TextTower) -> None:
    encoder = SharedPrefixEncoder(tower)
    sides = fixed(random_sides(tower.width, LENGTHS))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        before = encoder.encode(*sides)
    with torch.autocast("cpu", torch.bfloat16):
        after = encoder.encode(*sides)
    torch.testing.assert_close(before.clone(), after.detach())
    (gradient,) = torch.autograd.grad(after.sum(), [sides.labels])
    assert gradient.abs().sum() > 0


def test_weights_are_cast_once_per_precision(tower: TextTower, monkeypatch: pytest.MonkeyPatch) -> None:
    casts = []
    made = prefix_attention.BlockParts.layer
    counted = staticmethod(lambda *given: casts.append(given[2]) or made(*given))
    monkeypatch.setattr(prefix_attention.BlockParts, "layer", counted)
    encoder, sides = SharedPrefixEncoder(tower), random_sides(tower.width, LENGTHS)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            encoder.encode(*sides)
    assert casts == [torch.bfloat16] * 4 * LAYERS


def test_a_packing_of_some_classes_or_several_groups_is_that_of_their_end_tokens() -> None:
    end, length = torch.tensor([0, 3, 1, 3, 2]), 4
    packing = Packing.of(end, length)
    for part, ends in [
        (packing[1:4], end[1:4]),
        (packing[:2], end[:2]),
        (packing[3:9], end[3:]),
        (packing.repeat(3), end.repeat(3)),
        (packing[1:3].repeat(2), end[1:3].repeat(2)),
    ]:
        expected = Packing.of(ends, length)
        assert part.stops == expected.stops
        for name in ("filled", "last", "padding", "later"):
            assert torch.equal(getattr(part, name), getattr(expected, name))
    assert len(packing[2:2]) == len(packing[2:2].filled) == len(packing[:0].filled) == 0


class Doubled(nn.Linear):
    """A layer that computes something else than a linear one does."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_a_replaced_layer_of_the_mlp_is_used(own_tower: TextTower) -> None:
    block: Any = own_tower.blocks[0]
    layer = block.mlp.c_fc
    doubled = Doubled(layer.in_features, layer.out_features).to(layer.weight)
    doubled.load_state_dict(layer.state_dict())
    block.mlp.c_fc = doubled.requires_grad_(False)
    sides = random_sides(own_tower.width, LENGTHS)
    assert_agree(run(SharedPrefixEncoder(own_tower), sides), run(PlainTextEncoder(own_tower), sides))


def test_a_tower_with_other_blocks_is_named(own_tower: TextTower) -> None:
    assert unsupported_reason(own_tower) is None
    own_tower.blocks[0].add_module("adapter", nn.Identity())
    assert "adapter" in str(unsupported_reason(own_tower))


def own_attention_model(**text: Any) -> Any:
    """An open_clip model whose blocks have an attention of open_clip's own."""
    return small.open_clip_model(custom_text=True, width=32, heads=2, qk_norm=True, **text)


def test_a_tower_that_cant_be_run_in_parts_gets_the_plain_encoder(log_lines: list[str]) -> None:
    tower = text_tower_of(own_attention_model(vocabulary=64), "small")
    assert isinstance(text_encoder_of(tower), PlainTextEncoder)
    [line] = log_lines
    assert line.startswith("Text encoder: plain, every prompt as a whole, because its ")


def test_every_other_tower_gets_the_shared_prefix(tower: TextTower, log_lines: list[str]) -> None:
    assert isinstance(text_encoder_of(tower), SharedPrefixEncoder)
    assert log_lines == ["Text encoder: shared prefix"]


def test_a_learner_says_once_which_encoder_runs(small_clip: ClipModel, log_lines: list[str]) -> None:
    learner = PromptLearner(small_clip, ["cat", "german shepherd"])
    for _ in range(2):
        learner.text_features()
    assert [line for line in log_lines if "encoder" in line] == ["Text encoder: shared prefix"]


def test_a_learner_on_a_tower_that_cant_be_run_in_parts_says_why(log_lines: list[str]) -> None:
    learner = PromptLearner(wrap_clip(own_attention_model(), "small"), ["cat", "german shepherd"])
    for _ in range(2):
        learner.text_features()
    [line] = [line for line in log_lines if "encoder" in line]
    assert line.startswith("Text encoder: plain")
    assert "because its " in line


def test_quick_gelus_values_and_gradients_are_those_of_the_definition() -> None:
    x = torch.linspace(-12, 12, 1001, dtype=torch.float64, requires_grad=True)
    sigmoid = 1 / (1 + torch.exp(-1.702 * x.detach()))
    y = quick_gelu(x)
    y.sum().backward()
    torch.testing.assert_close(y.detach(), x.detach() * sigmoid)
    torch.testing.assert_close(x.grad, sigmoid + 1.702 * x.detach() * sigmoid * (1 - sigmoid))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_quick_gelu_keeps_the_dtype(dtype: torch.dtype) -> None:
    x = torch.linspace(-4, 4, 101).to(dtype)
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(quick_gelu(x).float(), QuickGELU()(x.float()), atol=4 * step, rtol=4 * step)
    assert quick_gelu(x).dtype == dtype


def test_quick_gelu_leaves_its_input_as_it_is() -> None:
    x = torch.randn(7)
    before = x.clone()
    quick_gelu(x)
    assert torch.equal(x, before)


# Three classes of 2, 4 and 1 positions in two groups, behind prefixes of three.
@pytest.mark.parametrize("only_ends", [False, True])
def test_the_gradients_of_attention_are_those_of_finite_differences(only_ends: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    packing = Packing.of(torch.tensor([1, 3, 0]), 4).repeat(2)
    rows = HeadRows.of(packing, 2, 2)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    positions, width = len(packing.filled), 6
    shared = random(2, 2, 3, 3), random(2, 2, 3, 3)
    sides = (random(positions, 2 * width), random(6, width)) if only_ends else (random(positions, 3 * width),)

    def attended(keys: Tensor, values: Tensor, packed: Tensor, *query: Tensor) -> Tensor:
        return attend(packed, KeysValues(keys, values), rows, *query)

    assert torch.autograd.gradcheck(attended, (*shared, *sides))
    # The gradient of a sum is one number everywhere, an expanded tensor.
    assert torch.autograd.gradcheck(lambda *given: attended(*given).sum(), (*shared, *sides))
