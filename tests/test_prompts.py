"""Where context, class name and tail stand in a tokenised prompt."""

import open_clip
import pytest

from lamm.clip.tokenizer import load_tokenizer
from lamm.errors import PromptError
from lamm.prompts import fill_template, split_prompt, spoken, tokenize
from tests.reference.whole_prompt import END, FULL_STOP, START, read_prompt

CONTEXT = "a photo of a"
TOKENIZER = load_tokenizer()
PLAIN = ["cat", "german_shepherd", "yo-yo", "l'oreal's", "rock & roll", "café", "日本", "Boeing 737-800", "U.S. dollar"]
SWALLOWING = ["car (red)", "C++", "St.", "T.S.", "50%", "ice cream!?", "!"]


def pieces(ids: tuple[int, ...]) -> list[str]:
    return [open_clip.tokenizer._tokenizer.decoder[token] for token in ids]


@pytest.mark.parametrize("context", [CONTEXT, ""])
@pytest.mark.parametrize("name", ["german_shepherd", "日本", "car (red)", "!"])
def test_the_parts_together_are_the_tokenised_text(name: str, context: str) -> None:
    prompt = split_prompt(TOKENIZER, context, name)
    whole = open_clip.tokenize([f"{context} {name.replace('_', ' ')}."])[0].tolist()
    assert [START, *prompt.context, *prompt.label, *prompt.tail, END] == whole[: whole.index(END) + 1]


@pytest.mark.parametrize("name", PLAIN + SWALLOWING)
def test_the_parts_are_where_the_reference_finds_them(name: str) -> None:
    prompt, expected = split_prompt(TOKENIZER, CONTEXT, name), read_prompt(CONTEXT, name)
    assert (list(prompt.context), list(prompt.label), list(prompt.tail)) == (
        expected.context,
        expected.name,
        expected.stop,
    )


def test_a_name_that_ends_in_a_letter_or_digit_leaves_the_full_stop_alone() -> None:
    for name in PLAIN:
        prompt = split_prompt(TOKENIZER, CONTEXT, name)
        assert prompt.tail == (FULL_STOP,)
        assert list(prompt.label) == TOKENIZER.encode(name.replace("_", " "))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("car (red)", ["car</w>", "(</w>", "red</w>", ").</w>"]),
        ("C++", ["c</w>", "+", "+.</w>"]),
        ("St.", ["st</w>", "..</w>"]),
    ],
)
def test_a_last_token_that_swallowed_the_full_stop_belongs_to_the_label(name: str, label: list[str]) -> None:
    prompt = split_prompt(TOKENIZER, CONTEXT, name)
    assert pieces(prompt.label) == label
    assert prompt.tail == ()


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_name_of_n_words_has_n_sub_tokens(count: int) -> None:
    name = "_".join(["cat"] * count)
    assert split_prompt(TOKENIZER, CONTEXT, name).label == (2368,) * count


def test_underscores_and_surplus_white_space_become_single_spaces() -> None:
    assert spoken("_flower__pot \n big_") == "flower pot big"
    plain, underscored = (split_prompt(TOKENIZER, CONTEXT, name) for name in ("german shepherd", "german_shepherd"))
    assert underscored.label == plain.label


@pytest.mark.parametrize("name", ["", "__ \t"])
def test_an_empty_name_is_an_error(name: str) -> None:
    with pytest.raises(PromptError, match="is empty: give every class a name"):
        split_prompt(TOKENIZER, CONTEXT, name)
    with pytest.raises(PromptError, match="is empty: give every class a name"):
        fill_template("a {}.", name)


def test_a_name_of_which_the_tokenizer_leaves_nothing_is_an_error() -> None:
    with pytest.raises(PromptError, match='no sub-token is left of the class name "&nbsp;"'):
        split_prompt(TOKENIZER, CONTEXT, "&nbsp;")


def test_the_longest_prompt_that_fits_has_77_tokens() -> None:
    # start + 4 context + 70 + full stop + end = 77
    assert len(split_prompt(TOKENIZER, CONTEXT, " ".join(["cat"] * 70)).label) == 70


def test_a_prompt_of_78_tokens_is_an_error_that_names_the_class() -> None:
    name = "_".join(["cat"] * 71)
    with pytest.raises(PromptError, match=f'the prompt of "{name}" has 78 tokens, the text tower takes 77'):
        split_prompt(TOKENIZER, CONTEXT, name)


def test_a_shorter_text_tower_lowers_the_limit() -> None:
    with pytest.raises(PromptError, match='the prompt of "cat cat" has 9 tokens, the text tower takes 8'):
        split_prompt(TOKENIZER, CONTEXT, "cat cat", context_length=8)


def test_two_classes_with_the_same_name_are_split_alike() -> None:
    assert split_prompt(TOKENIZER, CONTEXT, "crane") == split_prompt(TOKENIZER, CONTEXT, "crane")


def test_a_template_takes_the_spoken_name() -> None:
    assert fill_template("a photo of a {}, a type of pet.", "maine_coon") == "a photo of a maine coon, a type of pet."


@pytest.mark.parametrize("template", ["a photo.", "{} or {}", "a {name}."])
def test_a_template_without_exactly_one_place_for_the_name_is_an_error(template: str) -> None:
    with pytest.raises(PromptError, match="must hold {} exactly once"):
        fill_template(template, "cat")


def test_rows_of_texts_are_open_clips_without_the_padding() -> None:
    texts = ["a photo of a cat.", "a sketch of C++."]
    for row, expected in zip(tokenize(TOKENIZER, texts), open_clip.tokenize(texts).tolist(), strict=True):
        assert row == expected[: expected.index(END) + 1]


def test_a_text_that_is_too_long_is_an_error_that_quotes_it() -> None:
    with pytest.raises(PromptError, match='the prompt of "cat cat .*" has 78 tokens, the text tower takes 77'):
        tokenize(TOKENIZER, ["cat " * 76])
