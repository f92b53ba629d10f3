"""The shared-prefix encoder equals the plain one, forward and gradient, on every kind of tower."""

import pytest
import small_clip_models as small
import torch
from torch import Tensor

from lamm.clip.shared_prefix import SharedPrefixEncoder, unsupported_reason
from lamm.clip.text import PlainTextEncoder
from lamm.clip.text_tower import TextTower, text_tower_of


@pytest.fixture(params=["open_clip", "custom_text", "clip_package"])
def tower(request) -> TextTower:
    """A random text tower of each make."""
    if request.param == "clip_package":
        return text_tower_of(small.clip_package_model().float().requires_grad_(False), "small")
    model = small.open_clip_model(custom_text=request.param == "custom_text")
    return text_tower_of(model.requires_grad_(False), "small")


def sides(tower: TextTower, groups: int, lengths: list[int], prefix_length: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    prefix = (torch.randn(groups, prefix_length, tower.width) * 0.1).requires_grad_()
    labels = (torch.randn(len(lengths), max(lengths), tower.width) * 0.1).requires_grad_()
    return prefix, labels, torch.tensor(lengths) - 1


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("lengths", [[3], [4, 4, 4], [1, 2, 20, 5]])
@pytest.mark.parametrize("prefix_length", [1, 5])
def test_features_and_gradients_equal_the_plain_encoders(tower, groups, lengths, prefix_length):
    prefix, labels, end = sides(tower, groups, lengths, prefix_length)
    weights = torch.randn(groups, len(lengths), tower.embed_dim)
    found = []
    for encoder in (PlainTextEncoder(tower), SharedPrefixEncoder(tower)):
        features = encoder.encode(prefix, labels, end)
        found.append((features, *torch.autograd.grad((features * weights).sum(), (prefix, labels))))
    for plain, shared in zip(*found, strict=True):
        assert (plain - shared).norm() <= 1e-5 * plain.norm()


def test_what_stands_after_an_end_token_changes_nothing(tower):
    prefix, labels, end = sides(tower, 1, [2, 6], 4)
    encoder = SharedPrefixEncoder(tower)
    before = encoder.encode(prefix, labels, end)
    changed = labels.detach().clone()
    changed[0, 2:] = 7.0
    assert torch.equal(before, encoder.encode(prefix, changed, end))


def test_a_frozen_prefix_goes_through_the_tower_once(tower):
    prefix, labels, end = sides(tower, 1, [2, 3], 5)
    encoder, prefix = SharedPrefixEncoder(tower), prefix.detach()
    runs = []
    run = encoder._run_prefix
    encoder._run_prefix = lambda *given: runs.append(1) or run(*given)  # type: ignore[method-assign]
    for _ in range(3):
        encoder.encode(prefix.clone(), labels, end)
    assert len(runs) == 1
    encoder.encode(prefix + 1, labels, end)
    assert len(runs) == 2


def test_a_tower_with_other_blocks_is_named(tower):
    assert unsupported_reason(tower) is None
    tower.blocks[0].add_module("adapter", torch.nn.Identity())
    assert "adapter" in str(unsupported_reason(tower))
