"""The text encoder against whole prompts at all 77 positions, forward and gradient."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.clip.model import ClipModel
from lamm.clip.text import PlainTextEncoder, encode_texts
from lamm.prompts import tokenize
from tests.reference import whole_prompt as reference

NAMES = ["cat", "german shepherd dog breed", "car (red)"]
CONTEXT, D = 4, 32


def by_hand(model: Any, context: Tensor, labels: list[Tensor]) -> Tensor:
    parts = [reference.read_prompt("a photo of a", name) for name in NAMES]
    rows = [reference.assemble(part, context, label) for part, label in zip(parts, labels, strict=True)]
    return reference.encode(model, rows)


def cut_prompts(model: Any, context: Tensor, labels: list[Tensor], spare: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(prefix, label side, end), padded to the longest name and `spare` positions more with random vectors."""
    table = model.token_embedding.weight
    sides = []
    for name, label in zip(NAMES, labels, strict=True):
        stop = reference.read_prompt("a photo of a", name).stop
        sides.append(torch.cat([label, table[[*stop, reference.END]]]))
    longest = max(map(len, sides)) + spare
    padded = [torch.cat([side, torch.randn(longest - len(side), D)]) for side in sides]
    prefix = torch.cat([table[[reference.START]], context])
    return prefix, torch.stack(padded), torch.tensor([len(side) - 1 for side in sides])


@pytest.fixture
def label_vectors() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [0.1 * torch.randn(count, D, generator=generator) for count in (1, 4, 4)]


@pytest.fixture
def context() -> Tensor:
    return 0.1 * torch.randn(CONTEXT, D, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("spare", [0, 9])
def test_features_equal_those_of_whole_prompts_whatever_stands_after_the_end_token(
    small_model: Any, small_clip: ClipModel, context: Tensor, label_vectors: list[Tensor], spare: int
) -> None:
    prefix, labels, end = cut_prompts(small_model, context, label_vectors, spare)
    features = PlainTextEncoder(small_clip.text).encode(prefix[None], labels, end)
    assert features.shape == (1, len(NAMES), small_clip.embed_dim)
    expected = by_hand(small_model, context, label_vectors)
    torch.testing.assert_close(F.normalize(features[0], dim=-1), expected, atol=1e-6, rtol=1e-5)


def test_every_prefix_gives_the_features_that_it_gives_alone(
    small_model: Any, small_clip: ClipModel, context: Tensor, label_vectors: list[Tensor]
) -> None:
    prefix, labels, end = cut_prompts(small_model, context, label_vectors)
    prefixes = torch.stack([prefix, prefix.flip(0), 2 * prefix])
    encoder = PlainTextEncoder(small_clip.text)
    together = encoder.encode(prefixes, labels, end)
    for features, alone in zip(together, prefixes, strict=True):
        torch.testing.assert_close(features, encoder.encode(alone[None], labels, end)[0], atol=1e-5, rtol=1e-5)


def test_gradients_of_context_and_labels_equal_those_of_whole_prompts(
    small_model: Any, small_clip: ClipModel, context: Tensor, label_vectors: list[Tensor]
) -> None:
    weights = torch.randn(len(NAMES), small_clip.embed_dim, generator=torch.Generator().manual_seed(5))
    gradients = []
    for fast in (True, False):
        learned = [context.clone().requires_grad_(), *[v.clone().requires_grad_() for v in label_vectors]]
        if fast:
            prefix, labels, end = cut_prompts(small_model, learned[0], learned[1:])
            features = PlainTextEncoder(small_clip.text).encode(prefix[None], labels, end)
            features = F.normalize(features[0], dim=-1)
        else:
            features = by_hand(small_model, learned[0], learned[1:])
        gradients.append(torch.autograd.grad((features * weights).sum(), learned))
    for fast_gradient, slow_gradient in zip(*gradients, strict=True):
        scale = slow_gradient.abs().max()
        assert scale > 0
        torch.testing.assert_close(fast_gradient / scale, slow_gradient / scale, rtol=0, atol=1e-5)


def test_texts_of_different_length_get_open_clips_features(small_model: Any, small_clip: ClipModel) -> None:
    texts = ["a cat.", "a photo of a car (red).", "a bad drawing of a german shepherd dog, in the rain."]
    with torch.no_grad():
        features = encode_texts(small_clip.text, tokenize(small_clip.tokenizer, texts))
    expected = reference.encode_texts(small_model, texts)
    torch.testing.assert_close(F.normalize(features, dim=-1), expected, atol=1e-6, rtol=1e-5)


def test_the_reference_itself_equals_open_clip_on_plain_words(small_model: Any) -> None:
    rows = [reference.assemble(reference.read_prompt("a photo of a", name)) for name in NAMES]
    expected = reference.encode_texts(small_model, [f"a photo of a {name}." for name in NAMES])
    torch.testing.assert_close(reference.encode(small_model, rows), expected, atol=1e-6, rtol=1e-5)
