"""The text tower's three steps give the library's own features, at full and at cut length, for every make."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamm.clip.text_tower import TextTower, text_tower_of
from lamm.errors import BackboneError, PromptError
from tests.clip.small_clip_models import clip_package, clip_package_model, open_clip_model, prompts

MAKES = {
    "open_clip": open_clip_model,
    "open_clip_custom_text": lambda: open_clip_model(custom_text=True),
    "open_clip_linear_projection": lambda: open_clip_model(custom_text=True, proj_bias=True),
    "open_clip_no_projection": lambda: open_clip_model(custom_text=True, proj_type="none"),
    "open_clip_layer_scale": lambda: open_clip_model(ls_init_value=0.5),
    "open_clip_own_attention": lambda: open_clip_model(custom_text=True, qk_norm=True, scale_attn=True),
    "open_clip_end_id": lambda: open_clip_model(custom_text=True, pool_type="eos", eos_id=49407),
    "clip_package": clip_package_model,
}


@pytest.fixture(scope="module", params=MAKES)
def any_model(request: pytest.FixtureRequest) -> nn.Module:
    return MAKES[request.param]()


@pytest.fixture(scope="module", params=["open_clip", "open_clip_own_attention", "clip_package"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return MAKES[request.param]()


def encode(tower: TextTower, ids: Tensor, length: int) -> Tensor:
    """Features of prompts cut to `length` positions."""
    x = tower.embed(ids[:, :length]) + tower.positional_embedding[:length]
    x = tower.transform(x)
    return tower.finish(x[torch.arange(len(ids)), ids.argmax(dim=-1)])


@pytest.mark.parametrize("length", [77, 9])
def test_features_equal_the_librarys_own_at_any_length_that_holds_the_end_token(any_model: Any, length: int) -> None:
    ids = prompts(count=3, words=5)
    with torch.no_grad():
        torch.testing.assert_close(encode(text_tower_of(any_model, "m"), ids, length), any_model.encode_text(ids))


def test_gradients_reach_the_input_and_equal_those_at_full_length(model: Any) -> None:
    tower, ids = text_tower_of(copy.deepcopy(model), "m"), prompts()
    tower.requires_grad_(False)
    gradients = []
    for length in (77, 12):
        x = (tower.embed(ids[:, :length]) + tower.positional_embedding[:length]).requires_grad_()
        encoded = tower.finish(tower.transform(x)[torch.arange(len(ids)), ids.argmax(dim=-1)])
        encoded.square().sum().backward()
        gradients.append(x.grad[:, :12])
    scale = gradients[0].abs().max()
    assert scale > 0
    torch.testing.assert_close(gradients[0] / scale, gradients[1] / scale, rtol=0, atol=1e-5)


def test_a_later_position_never_changes_an_earlier_one(model: Any) -> None:
    tower = text_tower_of(model, "m")
    x = torch.randn(2, 10, tower.width)
    changed = x.clone()
    changed[:, 6:] += 1
    with torch.no_grad():
        before, after = tower.transform(x), tower.transform(changed)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_sizes_are_read_off_the_tower(any_model: Any) -> None:
    model = any_model
    tower = text_tower_of(model, "m")
    assert (tower.context_length, tower.width, tower.heads, len(tower.blocks)) == (77, 128, 2, 2)
    with torch.no_grad():
        assert tower.embed_dim == model.encode_text(prompts()).shape[1]
    assert tower.dtype == torch.float32


def test_each_weight_is_in_the_state_dict_once(model: Any) -> None:
    tower = text_tower_of(model, "m")
    places = [tensor.data_ptr() for tensor in tower.state_dict().values()]
    assert len(places) == len(set(places)) == len(list(tower.parameters()))


def test_more_positions_than_the_context_length_are_an_error() -> None:
    tower = text_tower_of(open_clip_model(vocabulary=100), "m")
    with pytest.raises(PromptError, match="78 tokens; this text tower takes at most 77"):
        tower.transform(torch.zeros(1, 78, 128))


def test_a_block_with_a_fixed_full_length_mask_is_left_as_it_was() -> None:
    model: Any = clip_package_model()
    masks = [block.attn_mask.clone() for block in model.transformer.resblocks]
    text_tower_of(model, "m").transform(torch.randn(1, 5, 128))
    for block, mask in zip(model.transformer.resblocks, masks, strict=True):
        assert torch.equal(block.attn_mask, mask)


def test_fp16_weights_of_the_clip_package_give_its_own_features() -> None:
    model: Any = clip_package_model()
    clip_package().convert_weights(model)
    tower, ids = text_tower_of(model, "m"), prompts()
    assert tower.dtype == torch.float16
    with torch.no_grad():
        full, cut = model.encode_text(ids), encode(tower, ids, 12)
    assert cut.dtype == torch.float16
    torch.testing.assert_close(cut, full, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("custom_text", "config", "reason"),
    [
        (False, {"no_causal_mask": True}, "has no causal mask"),
        (True, {"no_causal_mask": True}, "has no causal mask"),
        (False, {"pool_type": "last"}, 'pool_type "last"'),
        (True, {"pool_type": "first"}, 'pool_type "first"'),
        (True, {"embed_cls": True}, "appended class token"),
    ],
)
def test_a_tower_that_cannot_be_handled_names_the_reason(custom_text: bool, config: dict, reason: str) -> None:
    model = open_clip_model(custom_text=custom_text, vocabulary=100, **config)
    with pytest.raises(BackboneError, match=f"mine: its text tower .*{reason}.*use a CLIP with a causal text tower"):
        text_tower_of(model, "mine")


def test_a_mask_that_is_not_causal_is_refused() -> None:
    model = open_clip_model(vocabulary=100)
    model.attn_mask[3, 5] = 0.0
    with pytest.raises(BackboneError, match="has no causal mask"):
        text_tower_of(model, "mine")


def test_a_tower_of_another_library_is_refused() -> None:
    class HFTextEncoder(nn.Module):
        pass

    model = nn.Module()
    model.text = HFTextEncoder()
    with pytest.raises(BackboneError, match=r"HFTextEncoder\) has no CLIP token embedding.*ViT-B/16"):
        text_tower_of(model, "mine")
