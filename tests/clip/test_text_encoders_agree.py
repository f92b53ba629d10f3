"""The shared-prefix encoder, the plain encoder and the slow way at all 77 positions agree, forward and gradient."""

import copy
from typing import Any

import pytest
import torch

from lamm.clip.model import autocast
from lamm.clip.shared_prefix import SharedPrefixEncoder, unsupported_reason
from lamm.clip.text import PlainTextEncoder
from lamm.clip.text_tower import TextTower, text_tower_of
from lamm.errors import PromptError
from tests.clip import small_clip_models as small
from tests.clip.text_sides import Sides, assert_agree, encode_whole, halve, random_sides, run, with_gradients

ENCODERS = (PlainTextEncoder, SharedPrefixEncoder)
MIXED = [1, 2, 20, 5, 20, 3]
FRONT = {"lengths": [3, 9], "prefix_length": 1}
DEEP = [
    {"lengths": MIXED, "deep": 1},
    {"lengths": MIXED, "deep": 2},
    {"lengths": [4, 4], "deep": 2, "deep_length": 4},  # all that stands behind the start token
    {"lengths": MIXED, "deep": 2, "deep_length": 1, "groups": 3},
]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("case", [{"lengths": MIXED}, {"lengths": MIXED, "groups": 3}, FRONT, *DEEP])
def test_features_and_gradients_are_those_of_all_77_positions(
    text_model: Any, tower: TextTower, encoder: Any, case: dict[str, Any]
) -> None:
    sides = random_sides(tower.width, **case)
    slow = with_gradients(encode_whole(text_model, sides), sides.learned)
    assert_agree(run(encoder(tower), sides), slow)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("prefix_length", [1, 5])
@pytest.mark.parametrize(
    "lengths",
    [[3], [1], [4, 4, 4], [1, 1, 1], [1, 2, 20, 5], list(range(1, 21))],
    ids=["one class", "one position", "one length", "only end tokens", "mixed", "1 to 20"],
)
def test_the_shared_prefix_gives_the_plain_features_and_gradients(
    tower: TextTower, lengths: list[int], prefix_length: int, groups: int
) -> None:
    sides = random_sides(tower.width, lengths, groups=groups, prefix_length=prefix_length)
    assert_agree(run(SharedPrefixEncoder(tower), sides), run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize("count", [2, 1000])
def test_they_agree_at_any_number_of_classes(tower: TextTower, count: int) -> None:
    lengths = [1 + (7 * number) % 20 for number in range(count)]
    sides = random_sides(tower.width, lengths, deep=2)
    assert_agree(run(SharedPrefixEncoder(tower), sides), run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize("prefix_length", [1, 5, 76])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_prompt_may_fill_all_77_positions(
    text_model: Any, tower: TextTower, encoder: Any, prefix_length: int
) -> None:
    sides = random_sides(tower.width, [77 - prefix_length, 1], prefix_length=prefix_length)
    slow = with_gradients(encode_whole(text_model, sides), sides.learned)
    assert_agree(run(encoder(tower), sides), slow)


@pytest.mark.parametrize("learned", ["prefix", "labels", "deep"])
def test_gradients_agree_where_only_one_side_is_learned(tower: TextTower, learned: str) -> None:
    sides = random_sides(tower.width, MIXED, deep=2)
    for name in {"prefix", "labels", "deep"} - {learned}:
        for tensor in getattr(sides, name) if name == "deep" else [getattr(sides, name)]:
            tensor.requires_grad_(False)
    found = run(SharedPrefixEncoder(tower), sides)
    assert len(found) == 1 + (2 if learned == "deep" else 1)
    assert_agree(found, run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize(
    "text",
    [{"ls_init_value": 0.5}, {"proj_bias": True}, {"proj_type": "none"}],
    ids=["layer scale", "linear projection", "no projection"],
)
def test_they_agree_on_open_clips_other_towers(text: dict[str, Any]) -> None:
    model = small.open_clip_model("ls_init_value" not in text, vocabulary=64, width=32, heads=2, layers=3, **text)
    tower = text_tower_of(model.requires_grad_(False), "small")
    assert unsupported_reason(tower) is None
    sides = random_sides(tower.width, MIXED, groups=2, deep=2)
    assert_agree(run(SharedPrefixEncoder(tower), sides), run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_stands_after_an_end_token_changes_nothing_and_gets_no_gradient(tower: TextTower, encoder: Any) -> None:
    sides = random_sides(tower.width, [2, 6], groups=2, deep=1)
    features, _, of_labels, _ = run(encoder(tower), sides)
    assert torch.all(of_labels[0, 2:] == 0)
    assert torch.all(of_labels[0, :2].norm(dim=-1) > 0)
    changed = sides.labels.detach().clone()
    changed[0, 2:] = 7.0
    assert torch.equal(features, encoder(tower).encode(sides.prefix, changed, *sides[2:]))


def test_deep_prompts_beyond_the_prefix_are_refused(tower: TextTower) -> None:
    sides = random_sides(tower.width, [2], prefix_length=3, deep=1)
    with pytest.raises(ValueError, match="3 deep prompts a layer don't fit a prefix of 3 positions"):
        SharedPrefixEncoder(tower).encode(*sides)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "amp", "bf16", "fp16"])
def test_they_agree_on_a_gpu(text_model: Any, tower: TextTower, precision: str) -> None:
    sides = random_sides(tower.width, MIXED, groups=2, deep=2)
    expected = run(PlainTextEncoder(tower), sides)
    there = copy.deepcopy(tower).to("cuda")
    if precision == "fp16":
        halve(there)
    prefix, labels, end, deep = sides
    moved = Sides(prefix.cuda(), labels.cuda(), end.cuda(), tuple(prompt.cuda() for prompt in deep))
    with autocast(precision, torch.device("cuda")):
        features = SharedPrefixEncoder(there, chunk=5).encode(*moved)
    found = [tensor.cpu() for tensor in with_gradients(features, sides.learned)]
    if precision == "fp32":
        assert_agree(found, expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("kind", [PlainTextEncoder, SharedPrefixEncoder])
@pytest.mark.parametrize(("before", "behind"), [(76, 2), (76, 5), (5, 73)])
def test_a_prompt_beyond_the_context_length_is_refused(tower, kind, before, behind):
    prefix, labels = torch.zeros(1, before, tower.width), torch.zeros(2, behind, tower.width)
    with pytest.raises(PromptError, match=f"a prompt of {before + behind} tokens; this text tower takes at most 77"):
        kind(tower).encode(prefix, labels, torch.tensor([1, 1]))
