"""What the shared-prefix encoder computes, and what it does not compute again."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.prompt_learner import PromptLearner
from torch import Tensor, nn

from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.clip.shared_prefix import SharedPrefixEncoder, text_encoder_of, unsupported_reason
from lamm.clip.text import PlainTextEncoder
from lamm.clip.text_tower import TextTower, text_tower_of
from tests.clip import small_clip_models as small
from tests.clip.text_sides import assert_agree, halve, random_sides, run

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


def frozen(sides: Any) -> Any:
    """The sides with a prefix and deep prompts that want no gradient."""
    deep = tuple(prompt.detach() for prompt in sides.deep)
    return sides._replace(prefix=sides.prefix.detach(), deep=deep)


@pytest.mark.parametrize("deep", [0, 2])
def test_a_learned_prefix_goes_through_the_tower_once_a_step_and_each_class_with_its_own_length(
    own_tower: TextTower, counter: RowCounter, deep: int
) -> None:
    encoder = SharedPrefixEncoder(own_tower)
    sides = random_sides(own_tower.width, LENGTHS, groups=GROUPS, prefix_length=PREFIX, deep=deep)
    for _ in range(2):
        encoder.encode(*sides)
        assert counter.take() == ALL_ROWS


@pytest.mark.parametrize("deep", [0, 2])
def test_a_frozen_prefix_goes_through_the_tower_once(own_tower: TextTower, counter: RowCounter, deep: int) -> None:
    encoder = SharedPrefixEncoder(own_tower)
    sides = frozen(random_sides(own_tower.width, LENGTHS, groups=GROUPS, prefix_length=PREFIX, deep=deep))
    encoder.encode(*sides)
    assert counter.take() == ALL_ROWS
    again = sides._replace(prefix=sides.prefix.clone(), deep=tuple(prompt.clone() for prompt in sides.deep))
    for _ in range(2):
        encoder.encode(*again)
        assert counter.take() == LABEL_ROWS


def test_a_frozen_prefix_that_cant_have_changed_is_not_read(tower: TextTower, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = frozen(random_sides(tower.width, LENGTHS, groups=GROUPS, deep=2))
    encoder = SharedPrefixEncoder(tower)
    first = encoder.encode(*sides)
    monkeypatch.setattr(torch, "equal", lambda *_: pytest.fail("the prefix was compared"))
    assert (encoder.encode(*sides) == first).all()


def test_the_kept_prefix_gives_the_same_features_and_gradients(tower: TextTower) -> None:
    sides = frozen(random_sides(tower.width, LENGTHS, groups=GROUPS, deep=2))
    encoder = SharedPrefixEncoder(tower)
    first, second = run(encoder, sides), run(encoder, sides)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert_agree(second, run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize("changed", ["prefix", "first deep prompt", "last deep prompt", "number of deep prompts"])
def test_a_frozen_prefix_that_changed_is_computed_again(tower: TextTower, changed: str) -> None:
    sides = frozen(random_sides(tower.width, LENGTHS, deep=2))
    encoder = SharedPrefixEncoder(tower)
    before = encoder.encode(*sides)
    if changed == "number of deep prompts":
        sides = sides._replace(deep=sides.deep[:1])
    else:
        # In place, as an optimizer does it.
        {"prefix": sides.prefix, "first deep prompt": sides.deep[0]}.get(changed, sides.deep[1])[:, -1].mul_(3)
    after = encoder.encode(*sides)
    assert not torch.allclose(before, after, atol=1e-3)
    assert torch.equal(after, SharedPrefixEncoder(tower).encode(*sides))


def test_a_learned_prefix_gets_its_gradient_after_an_evaluation_kept_it(tower: TextTower) -> None:
    sides = random_sides(tower.width, LENGTHS, deep=2)
    encoder = SharedPrefixEncoder(tower)
    with torch.no_grad():
        encoder.encode(*sides)
    assert_agree(run(encoder, sides), run(PlainTextEncoder(tower), sides))


def test_another_precision_computes_the_prefix_again(own_tower: TextTower, counter: RowCounter) -> None:
    encoder = SharedPrefixEncoder(own_tower)
    sides = frozen(random_sides(own_tower.width, LENGTHS, groups=GROUPS, prefix_length=PREFIX))
    full = encoder.encode(*sides)
    counter.take()
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder.encode(*sides)
        assert counter.take() == ALL_ROWS
        assert torch.equal(half, SharedPrefixEncoder(own_tower).encode(*sides))
    counter.take()
    assert torch.equal(encoder.encode(*sides), full)
    assert counter.take() == ALL_ROWS
    halve(own_tower)
    assert encoder.encode(*sides).dtype == torch.float16
    assert counter.take() == ALL_ROWS


def test_other_weights_compute_the_frozen_prefix_again(own_tower: TextTower) -> None:
    sides = frozen(random_sides(own_tower.width, LENGTHS, deep=2))
    encoder = SharedPrefixEncoder(own_tower)
    encoder.encode(*sides)
    with torch.no_grad():
        for weight in own_tower.parameters():
            weight.mul_(1.5)
    assert torch.equal(encoder.encode(*sides), SharedPrefixEncoder(own_tower).encode(*sides))


def test_a_copied_encoder_does_not_take_new_tensors_for_old_ones(own_tower: TextTower) -> None:
    encoder = SharedPrefixEncoder(own_tower)
    for seed in range(5):
        torch.manual_seed(seed)
        sides = frozen(random_sides(own_tower.width, LENGTHS, deep=2))
        assert torch.equal(encoder.encode(*sides), SharedPrefixEncoder(own_tower).encode(*sides))
        encoder = copy.deepcopy(encoder)
        own_tower = encoder.tower
        del sides


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


@pytest.mark.parametrize("learner_class", [PromptLearner, CoOpLearner])
def test_a_learner_says_once_which_encoder_runs(
    small_clip: ClipModel, log_lines: list[str], learner_class: type[PromptLearner]
) -> None:
    learner = learner_class(small_clip, ["cat", "german shepherd"])
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


def test_a_prefix_that_was_frozen_under_inference_mode_serves_training(tower):
    encoder = SharedPrefixEncoder(tower)
    prefix, labels, end = torch.randn(1, 3, tower.width), torch.randn(2, 3, tower.width), torch.tensor([2, 1])
    with torch.inference_mode():
        before = encoder.encode(prefix, labels, end)
    after = encoder.encode(prefix, labels.requires_grad_(), end)
    after.sum().backward()
    torch.testing.assert_close(before.clone(), after.detach())
    assert labels.grad.abs().sum() > 0
