"""A layout puts each embedding where the prompt that was put together by hand has it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lamm.clip.tokenizer import load_tokenizer
from lamm.errors import PromptError
from lamm.prompt_layout import FixedPrefix, Packing, PromptLayout, initial_label_vectors, plan_prompts
from lamm.prompts import split_prompt
from tests.reference.whole_prompt import END, START, Position, assemble, initial_labels, read_prompt

NAMES = ["german_shepherd", "car (red)", "C++", "yo-yo ball", "german_shepherd"]
WORDS = "a photo of a"
POSITIONS = ("end", "middle", "front")
# LABEL_TOKENS and CLASS_TOKEN_POSITION that go together.
CHOICES = [(tokens, position) for tokens in (None, "name", "single") for position in POSITIONS] + [("released", "end")]
N, D = len(NAMES), 32
TOKENIZER = load_tokenizer()


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(model: Any, row: list[Position]) -> Tensor:
    """The embeddings of a row, start to end token."""
    table = model.token_embedding.weight
    return torch.stack([table[token] if vector is None else vector for token, vector in row])


def laid_out(layout: PromptLayout, context: Tensor, vectors: Tensor) -> list[Tensor]:
    """Each class's whole prompt, cut after its end token."""
    (prefix,), (labels, end, _) = layout.prefix(context[None]), layout.labels(context[None], vectors)
    return [torch.cat([prefix, row[: place + 1]]) for row, place in zip(labels, end.tolist(), strict=True)]


def plan(words: str, n_ctx: int, names: list[str] = NAMES, **options: Any) -> Any:
    prompts = [split_prompt(TOKENIZER, words, name) for name in names]
    return plan_prompts(prompts, START, END, n_ctx, **options)


def vectors_of(starts: list[Tensor]) -> list[Tensor]:
    """Random label vectors, as many a class as `starts` has."""
    return list(random(sum(map(len, starts)), D, seed=2).split([len(start) for start in starts]))


@pytest.mark.parametrize(("label_tokens", "position"), CHOICES)
@pytest.mark.parametrize(
    ("words", "n_ctx", "class_specific"), [(WORDS, 4, False), (WORDS, 2, False), ("", 3, True), ("", 1, False)]
)
def test_every_position_holds_what_the_prompt_by_hand_has_there(
    small_model: Any, position: str, class_specific: bool, words: str, n_ctx: int, label_tokens: str | None
) -> None:
    made = plan(words, n_ctx, position=position, class_specific=class_specific, label_tokens=label_tokens)
    layout = PromptLayout(made, small_model.token_embedding, END)
    parts = [read_prompt(words, name) for name in NAMES]
    labels: list[Any] = [None] * N
    if label_tokens is not None:
        labels = vectors_of(initial_labels(small_model, parts, label_tokens))
    contexts = list(random(N, n_ctx, D)) if class_specific else [random(n_ctx, D)] * N
    context = torch.cat(contexts) if class_specific else contexts[0]
    vectors = torch.empty(0, D) if label_tokens is None else torch.cat(labels)
    rows = [
        assemble(part, own, label, label_tokens or "name", position)
        for part, own, label in zip(parts, contexts, labels, strict=True)
    ]
    for got, row in zip(laid_out(layout, context, vectors), rows, strict=True):
        assert torch.equal(got, by_hand(small_model, row))


@pytest.mark.parametrize("label_tokens", ["name", "single", "released"])
def test_label_vectors_start_from_the_names_embeddings(small_model: Any, label_tokens: str) -> None:
    made = plan(WORDS, 4, label_tokens=label_tokens)
    expected = initial_labels(small_model, [read_prompt(WORDS, name) for name in NAMES], label_tokens)
    assert [len(vectors) for vectors in made.label_vectors] == [len(start) for start in expected]
    torch.testing.assert_close(initial_label_vectors(made, small_model.token_embedding), torch.cat(expected))


def test_a_single_vector_makes_the_prompt_shorter_and_moves_its_end_up(small_model: Any) -> None:
    ends = {
        mode: PromptLayout(plan(WORDS, 4, label_tokens=mode), small_model.token_embedding, END).end.tolist()
        for mode in ("name", "single")
    }
    # Label side: sub-tokens of the name, full stop unless swallowed, end token (whose place is counted from 0).
    assert ends["name"] == [3, 4, 3, 5, 3]
    assert ends["single"] == [2, 1, 1, 2, 2]


def test_released_replaces_as_many_tokens_as_the_shortest_name_has() -> None:
    assert [len(vectors) for vectors in plan(WORDS, 4, label_tokens="released").label_vectors] == [2] * N


def test_released_counts_and_starts_from_the_name_tokenised_by_itself() -> None:
    names = ["C++", "bus!"]
    assert [len(split_prompt(TOKENIZER, WORDS, name).label) for name in names] == [3, 2]
    alone = [TOKENIZER.encode(name) for name in names]
    assert list(map(len, alone)) == [2, 2]
    expected = [[[token] for token in tokens] for tokens in alone]
    assert plan(WORDS, 4, names, label_tokens="released").label_vectors == expected


def test_released_refuses_a_name_whose_prompt_is_shorter_than_the_name_by_itself() -> None:
    with pytest.raises(PromptError, match="released"):
        plan(WORDS, 4, ["!,.."], label_tokens="released")


def test_released_after_two_context_vectors_falls_on_of_and_leaves_the_whole_name() -> None:
    made = plan(WORDS, 2, ["maine_coon"], label_tokens="released", released_length=1)
    coon = split_prompt(TOKENIZER, WORDS, "maine_coon")
    of, a = coon.context[2:]
    parts = [(source.part, source.row) for source in made.rows[0]]
    rest = [("fixed", token) for token in (a, *coon.label, *coon.tail, END)]
    assert ("fixed", of) not in parts
    assert parts == [("fixed", START), ("context", 0), ("context", 1), ("label", 0), *rest]
    assert made.label_vectors == [[[coon.label[0]]]]


@pytest.mark.parametrize("position", ["middle", "front"])
def test_released_needs_the_name_at_the_end(position: str) -> None:
    with pytest.raises(PromptError, match=f'"released" needs CLASS_TOKEN_POSITION "end", not "{position}"'):
        plan(WORDS, 4, position=position, label_tokens="released")


@pytest.mark.parametrize(
    ("position", "class_specific", "shared"),
    [("end", False, 5), ("middle", False, 3), ("front", False, 1), ("end", True, 1), ("middle", True, 1)],
)
def test_the_prefix_is_what_all_classes_share(position: str, class_specific: bool, shared: int) -> None:
    made = plan(WORDS, 4, position=position, class_specific=class_specific)
    assert made.prefix_length == shared
    assert all(row[:shared] == made.rows[0][:shared] for row in made.rows)


def test_names_that_begin_alike_do_not_make_the_prefix_longer() -> None:
    assert plan(WORDS, 4, ["polar bear", "polar fox"]).prefix_length == 5
    assert plan(WORDS, 2, ["polar bear"], label_tokens="released").prefix_length == 3


def test_a_layout_with_a_fixed_context_has_one_prefix_until_it_is_moved(small_model: Any) -> None:
    made, context = plan(WORDS, 4), random(4, D)
    learned, fixed = (PromptLayout(made, small_model.token_embedding, END, own) for own in (None, context))
    prefix = fixed.prefix(context[None])
    assert torch.equal(prefix, learned.prefix(context[None]))
    assert fixed.prefix(context[None]) is prefix
    assert isinstance(prefix, FixedPrefix)
    assert not isinstance(learned.prefix(context[None]), FixedPrefix)
    fixed.to(torch.float64)
    assert fixed.prefix(context[None]).dtype == torch.float64
    assert isinstance(fixed.prefix(context[None]), FixedPrefix)


def test_a_layout_packs_its_label_sides_once_and_moves_them_along(small_model: Any) -> None:
    layout = PromptLayout(plan(WORDS, 4), small_model.token_embedding, END)
    sides = [layout.labels(random(1, 4, D), torch.empty(0, D)) for _ in range(2)]
    assert sides[0].packing is sides[1].packing
    expected = Packing.of(sides[0].end, sides[0].embeddings.shape[1])
    assert torch.equal(sides[0].packing.filled, expected.filled)
    layout.to("meta")
    moved = layout.labels(random(1, 4, D).to("meta"), torch.empty(0, D, device="meta")).packing
    assert moved.filled.device.type == "meta"


def test_two_classes_with_the_same_name_have_label_vectors_of_their_own() -> None:
    made = plan(WORDS, 4, ["crane", "crane"], label_tokens="name")
    assert [[s.row for s in row if s.part == "label"] for row in made.rows] == [[0], [1]]


def test_a_layout_keeps_nothing_in_a_checkpoint(small_model: Any) -> None:
    assert PromptLayout(plan(WORDS, 4), small_model.token_embedding, END).state_dict() == {}
