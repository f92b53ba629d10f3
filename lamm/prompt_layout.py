"""Where each embedding of a prompt comes from: a fixed token, the context, or the class's label vectors.

Letters: G contexts (1, or one an image), N classes, P prefix positions, T label-side positions, D width, C context
vectors, V label vectors, F fixed token rows.

A prompt is cut in two. The prefix is what all classes share (start token, and context in front of the name); the
label side is the rest, padded to the longest. Both are rows of indices into the table [fixed | context | label].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lamm.clip.tensor_state import Remembered, can_be_remembered, lasting
from lamm.errors import PromptError
from lamm.prompts import PromptTokens

POSITIONS = ("end", "middle", "front")
LABEL_TOKENS = ("name", "single", "released")


class LabelSide(NamedTuple):
    """The label side of every class's prompt.

    Attributes:
        embeddings: (N, T, D); what stands after a class's end token is padding.
        end: place of the end token within the label side, (N,).
    """

    embeddings: Tensor
    end: Tensor


class Source(NamedTuple):
    """One position of a prompt: a row of one of the three parts of the table."""

    part: str  # "fixed" (row = token id), "context" or "label"
    row: int


@dataclass(frozen=True)
class PromptPlan:
    """Every class's prompt, position by position.

    Attributes:
        rows: for each class, the source of each position, start and end token included.
        prefix_length: P, the leading positions that are the same for all classes.
        label_vectors: for each class, the token ids of the sub-tokens that its label vectors start from: one list a
            vector; a vector starts from the mean of its tokens' embeddings.
    """

    rows: list[list[Source]]
    prefix_length: int
    label_vectors: list[list[list[int]]]


def plan_prompts(
    prompts: Sequence[PromptTokens],
    start: int,
    end: int,
    n_ctx: int,
    position: str = "end",
    class_specific: bool = False,
    label_tokens: str | None = None,
    released_length: int | None = None,
) -> PromptPlan:
    """Lay the prompts out.

    Args:
        prompts: the classes' tokens; all with the same context words.
        start, end: ids of the start and the end token.
        n_ctx: how many of the context positions (the first ones) are context vectors; the words after them stay.
        position: where the class name stands: at the end, in the middle or at the front of the context.
        class_specific: every class has context vectors of its own.
        label_tokens: None: the class name stays as it is; `name`: a vector for each sub-token; `single`: one vector a
            class; `released`: the m positions after the context vectors become vectors that start from the first m
            sub-tokens of the name.
        released_length: m; None takes the smallest sub-token count over the class names.

    Raises:
        PromptError: `released` with the class name elsewhere than at the end of the context.
    """
    if label_tokens == "released" and position != "end":
        raise PromptError(f'LABEL_TOKENS "released" needs CLASS_TOKEN_POSITION "end", not "{position}"')
    shortest = min(len(prompt.label) for prompt in prompts)
    rows, vectors = [], []
    taken = 0
    for number, prompt in enumerate(prompts):
        first = number * n_ctx if class_specific else 0
        context = [Source("context", first + place) for place in range(n_ctx)]
        words = [Source("fixed", token) for token in prompt.context[n_ctx:]]
        if label_tokens in ("name", "single"):
            tokens = [[t] for t in prompt.label] if label_tokens == "name" else [list(prompt.label)]
            label = [Source("label", taken + place) for place in range(len(tokens))]
        else:
            tokens = []
            label = [Source("fixed", token) for token in prompt.label]
        row = [Source("fixed", start), *_placed(context, words, label, position)]
        row += [Source("fixed", token) for token in (*prompt.tail, end)]
        if label_tokens == "released":
            count = shortest if released_length is None else released_length
            tokens = [[token] for token in prompt.label[:count]]
            row[1 + n_ctx : 1 + n_ctx + count] = [Source("label", taken + place) for place in range(count)]
        taken += len(tokens)
        rows.append(row)
        vectors.append(tokens)
    return PromptPlan(rows, _shared_length(n_ctx, prompts[0], position, class_specific, label_tokens), vectors)


def _placed(context: list[Source], words: list[Source], label: list[Source], position: str) -> list[Source]:
    around = [*context, *words]
    if position == "front":
        return [*label, *around]
    if position == "middle":
        half = len(around) // 2
        return [*around[:half], *label, *around[half:]]
    return [*around, *label]


def _shared_length(
    n_ctx: int, prompt: PromptTokens, position: str, class_specific: bool, label_tokens: str | None
) -> int:
    """P: the start token, and the context in front of the label where it is the same for all classes."""
    if class_specific or position == "front":
        return 1
    around = max(n_ctx, len(prompt.context))
    if position == "middle":
        return 1 + around // 2
    return 1 + (n_ctx if label_tokens == "released" else around)


class PromptLayout(nn.Module):
    """A plan with its fixed embeddings: puts context and label vectors in their places.

    The buffers are frozen CLIP embeddings and indices; none of them enters a checkpoint.

    Args:
        plan: the prompts; kept as `plan`.
        token_embedding: CLIP's token table.
        end: id of the end token.
    """

    fixed: Tensor
    prefix_index: Tensor
    label_index: Tensor
    end: Tensor

    def __init__(self, plan: PromptPlan, token_embedding: nn.Embedding, end: int) -> None:
        super().__init__()
        self.plan = plan
        tokens = sorted({s.row for row in plan.rows for s in row if s.part == "fixed"} | {end})
        place = {token: index for index, token in enumerate(tokens)}
        n_context = 1 + max((s.row for row in plan.rows for s in row if s.part == "context"), default=-1)
        offset = {"context": len(tokens), "label": len(tokens) + n_context}

        def index(source: Source) -> int:
            return place[source.row] if source.part == "fixed" else offset[source.part] + source.row

        cut = plan.prefix_length
        longest = max(len(row) for row in plan.rows) - cut
        padded = [[index(s) for s in row[cut:]] + [place[end]] * (longest - len(row) + cut) for row in plan.rows]
        with torch.no_grad():
            fixed = token_embedding(torch.tensor(tokens, device=token_embedding.weight.device)).clone()
        self.register_buffer("fixed", fixed, persistent=False)
        self.register_buffer("prefix_index", torch.tensor([index(s) for s in plan.rows[0][:cut]]), persistent=False)
        self.register_buffer("label_index", torch.tensor(padded), persistent=False)
        self.register_buffer("end", torch.tensor([len(row) - cut - 1 for row in plan.rows]), persistent=False)
        self._fixed_prefix: tuple[Remembered, Tensor] | None = None

    def prefix(self, context: Tensor) -> Tensor:
        """What all classes share, from context vectors (G, C, D). Shape: (G, P, D)

        For a context that wants no gradient and has not changed it is the same tensor again.
        """
        if context.requires_grad or not can_be_remembered(context):
            return self._prefix(context)
        if self._fixed_prefix is None or not self._fixed_prefix[0].is_still(context):
            with lasting():
                self._fixed_prefix = (Remembered(context), self._prefix(context))
        return self._fixed_prefix[1]

    def _prefix(self, context: Tensor) -> Tensor:
        fixed = self.fixed.to(context.dtype).expand(context.shape[0], -1, -1)
        return torch.cat([fixed, context], dim=1)[:, self.prefix_index]

    def labels(self, context: Tensor, label_vectors: Tensor) -> LabelSide:
        """The rest, from context vectors (1, C, D) and label vectors (V, D); there may be none of either."""
        table = torch.cat([self.fixed.to(context.dtype), context[0], label_vectors.to(context.dtype)])
        return LabelSide(table[self.label_index], self.end)


def initial_label_vectors(plan: PromptPlan, token_embedding: nn.Embedding) -> Tensor:
    """The label vectors at step 0: each the mean of the embeddings that it starts from. Shape: (V, D), fp32"""
    device = token_embedding.weight.device
    with torch.no_grad():
        starts = [
            token_embedding(torch.tensor(tokens, device=device)).float().mean(dim=0)
            for vectors in plan.label_vectors
            for tokens in vectors
        ]
    return torch.stack(starts)
