"""The tokenizer is CLIP's byte-pair encoding, without truncation and without start and end tokens."""

import importlib

import pytest

from lamm.clip.tokenizer import load_tokenizer
from lamm.errors import BackboneError, PromptError
from tests.clip.small_clip_models import clip_package

TEXTS = [
    "a photo of a llama.",
    "  A  PHOTO\nof an Alpaca ",
    "car (red).",
    "C++.",
    "St.",
    "caf&eacute; 737-200",
    "naïve ﬁne 日本語 🦙",
    "it's",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_equal_those_of_the_clip_package(text: str) -> None:
    clip_package()
    reference = importlib.import_module("clip.simple_tokenizer").SimpleTokenizer()
    assert load_tokenizer().encode(text) == reference.encode(text)


def test_a_long_text_is_not_cut() -> None:
    tokenizer = load_tokenizer()
    assert tokenizer.encode("dog " * 200) == tokenizer.encode("dog") * 200


def test_start_and_end_are_the_two_largest_ids() -> None:
    tokenizer = load_tokenizer()
    assert (tokenizer.start, tokenizer.end, tokenizer.vocab_size) == (49406, 49407, 49408)


def test_a_full_stop_merges_with_the_bracket_before_it() -> None:
    tokenizer = load_tokenizer()
    assert len(tokenizer.encode("car (red).")) == len(tokenizer.encode("car (red)"))


def test_a_text_that_holds_the_end_token_is_an_error() -> None:
    with pytest.raises(PromptError, match='"a <end_of_text> b" contains CLIP\'s own start or end token'):
        load_tokenizer().encode("a <end_of_text> b")


def test_the_tokenizer_is_made_once() -> None:
    assert load_tokenizer() is load_tokenizer()
    assert load_tokenizer("ViT-B-32").encode("llama") == load_tokenizer().encode("llama")


@pytest.mark.parametrize("architecture", ["ViT-B-16-SigLIP", "roberta-ViT-B-32", "ViT-L-14-CLIPA"])
def test_another_tokenizer_is_refused_without_fetching_it(architecture: str) -> None:
    with pytest.raises(BackboneError, match=f"open_clip:{architecture} reads text with the tokenizer"):
        load_tokenizer(architecture)
