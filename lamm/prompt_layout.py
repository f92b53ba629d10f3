"""Where each embedding of a prompt comes from: a fixed token, the context, or the class's label vectors.

Letters: G contexts (1, or one per image), N classes, P prefix positions, T label-side positions, D width, C context
vectors, V label vectors, F fixed token rows.

A prompt is cut in two. The prefix is what all classes share (start token, and context in front of the name); the
label side is the rest, padded to the longest. Both are rows of indices into the table [fixed | context | label].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lamm.errors import PromptError
from lamm.prompts import PromptTokens

POSITIONS = ("end", "middle", "front")
LABEL_TOKENS = ("name", "single", "released")


@dataclass(frozen=True)
class Packing:
    """Which label positions hold something: those of each class up to its end token.

    Attributes:
        filled: places of the positions that hold something among all N · T, (S,).
        last: places of the end tokens among the filled positions, (N,).
        padding: whether a position stands behind its class's end token, (N, T).
        later: which positions of its own class a position must not attend to, (T, T).
        stops: for each class, how many positions are filled up to and including its own; known without the device.
        first: of some classes of a longer list, the place of the first one in it.
        head_rows: what attention makes of it once, by numbers of groups and heads.
    """

    filled: Tensor
    last: Tensor
    padding: Tensor
    later: Tensor
    stops: list[int]
    first: int = 0
    head_rows: dict[tuple[int, int], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, end: Tensor, length: int) -> "Packing":
        """The packing of classes whose end tokens stand at `end` (N,), on label sides of T = `length`.

        It has to wait for the device, so a layout does this once.
        """
        padding = torch.arange(length, device=end.device) > end[:, None]
        later = torch.ones(length, length, dtype=torch.bool, device=end.device).triu(1)
        stops = (end + 1).cumsum(0)
        return cls((~padding).flatten().nonzero().squeeze(1), stops - 1, padding, later, stops.tolist())

    def __len__(self) -> int:
        return len(self.padding)

    @property
    def length(self) -> int:
        """T."""
        return len(self.later)

    def __getitem__(self, classes: slice) -> "Packing":
        """The packing of some classes that follow each other."""
        first, last, _ = classes.indices(len(self))
        begin, stop = (self.stops[number - 1] if number else 0 for number in (first, last))
        filled = self.filled[begin:stop] - first * self.length
        stops = [number - begin for number in self.stops[first:last]]
        ends, padding = self.last[first:last] - begin, self.padding[first:last]
        return Packing(filled, ends, padding, self.later, stops, self.first + first)

    def repeat(self, groups: int) -> "Packing":
        """The packing of the same classes G times, one group behind the other."""
        if groups == 1:
            return self
        group = torch.arange(groups, device=self.filled.device)[:, None]
        filled = (self.filled + group * len(self) * self.length).flatten()
        last = (self.last + group * len(self.filled)).flatten()
        stops = [number * len(self.filled) + stop for number in range(groups) for stop in self.stops]
        return Packing(filled, last, self.padding.repeat(groups, 1), self.later, stops, self.first)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Packing":
        """The same packing with each tensor changed, such as moved to another device."""
        filled, last, padding, later = map(change, (self.filled, self.last, self.padding, self.later))
        return Packing(filled, last, padding, later, self.stops, self.first)

    def take(self, placed: Tensor) -> Tensor:
        """What stands at the filled positions of (N, T, ...). Shape: (S, ...)"""
        placed = placed.flatten(0, 1)
        everything = len(self.filled) == len(placed)
        return placed if everything else placed.index_select(0, self.filled)


class FixedPrefix(Tensor):
    """A prefix (G, P, D) that never changes, so that an encoder may keep with it what it has made of it.

    Whatever is computed from it is a plain tensor. Its owner, a layout, replaces it when it is moved.

    Args:
        embeddings: (G, P, D); not to be written to any more.

    Attributes:
        keys_values: of each block, by tower and by the dtype that its products run in.
    """

    keys_values: dict[tuple[nn.Module, torch.dtype], Any]

    def __new__(cls, embeddings: Tensor) -> "FixedPrefix":
        prefix = Tensor._make_subclass(cls, embeddings.detach())
        prefix.keys_values = {}
        return prefix

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    def __deepcopy__(self, memo: dict[int, Any]) -> "FixedPrefix":
        return memo.setdefault(id(self), FixedPrefix(self.clone()))


class LabelSide(NamedTuple):
    """The label side of every class's prompt.

    Attributes:
        embeddings: (N, T, D); what stands after a class's end token is padding.
        end: place of the end token within the label side, (N,).
        packing: which positions hold something, ready for the text encoder; None has the encoder find out.
    """

    embeddings: Tensor
    end: Tensor
    packing: Packing | None = None


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
        label_vectors: for each class, the token ids of the sub-tokens that its label vectors start from: one list per
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
        label_tokens: None: the class name stays as it is; `name`: a vector for each sub-token; `single`: one vector
            per class; `released`: the m positions after the context vectors become vectors that start from the first
            m sub-tokens of the name, tokenised by itself as in the authors' code.
        released_length: m; None takes the smallest sub-token count over the class names, counted in the same way.

    Raises:
        PromptError: `released` with the class name elsewhere than at the end of the context, or with a name that has
            fewer positions in its prompt than sub-tokens by itself.
    """
    if label_tokens == "released" and position != "end":
        raise PromptError(f'LABEL_TOKENS "released" needs CLASS_TOKEN_POSITION "end", not "{position}"')
    rows: list[list[Source]] = []
    vectors: list[list[list[int]]] = []
    for number, prompt in enumerate(prompts):
        # The context: vectors, and the words that no vector stands for.
        first = number * n_ctx if class_specific else 0
        context = [Source("context", first + place) for place in range(n_ctx)]
        context += [Source("fixed", token) for token in prompt.context[n_ctx:]]
        # The label: vectors, or the tokens of the name.
        taken = sum(map(len, vectors))
        vectors_start = {"name": [[token] for token in prompt.label], "single": [list(prompt.label)]}
        starts = vectors_start.get(label_tokens or "", [])
        vector_label = [Source("label", taken + place) for place in range(len(starts))]
        label = vector_label or [Source("fixed", token) for token in prompt.label]
        # The row: before | label | after.
        cut = {"front": 0, "middle": len(context) // 2, "end": len(context)}[position]
        before = [Source("fixed", start), *context[:cut]]
        after = [*context[cut:], *(Source("fixed", token) for token in (*prompt.tail, end))]
        rows.append([*before, *label, *after])
        vectors.append(starts)
    label_start = len(before)
    if label_tokens == "released":
        label_start = 1 + n_ctx
        count = min(len(prompt.alone) for prompt in prompts) if released_length is None else released_length
        for prompt, row in zip(prompts, rows, strict=True):
            if label_start + count >= len(row):
                raise PromptError(
                    f'LABEL_TOKENS "released" takes {count} positions, which "{prompt.name}" does not have'
                )
        vectors = [[[token] for token in prompt.alone[:count]] for prompt in prompts]
        rows = release(rows, label_start, count)
    # What all rows begin with is shared. Names can begin alike too, but a label is encoded with its class: it is
    # learned, and so the prefix of a method is the same whatever its class names are.
    same = takewhile(lambda sources: len(set(sources)) == 1, zip(*rows, strict=False))
    shared = min(label_start, len(list(same)))
    return PromptPlan(rows, shared, vectors)


def release(rows: list[list[Source]], label_start: int, count: int) -> list[list[Source]]:
    """The rows with `count` label vectors in place of what stands at `label_start`, be it a word or part of a name."""
    released = []
    for number, row in enumerate(rows):
        label = [Source("label", number * count + place) for place in range(count)]
        released.append([*row[:label_start], *label, *row[label_start + count :]])
    return released


class PromptLayout(nn.Module):
    """A plan with its fixed embeddings: puts context and label vectors in their places.

    The buffers are frozen CLIP embeddings and indices; none of them enters a checkpoint.

    Args:
        plan: the prompts; kept as `plan`.
        token_embedding: CLIP's token table.
        end: id of the end token.
        fixed_context: context vectors (C, D) that never change; the prefix is made of them once.
    """

    fixed: Tensor
    prefix_index: Tensor
    label_index: Tensor
    end: Tensor

    def __init__(
        self, plan: PromptPlan, token_embedding: nn.Embedding, end: int, fixed_context: Tensor | None = None
    ) -> None:
        super().__init__()
        self.plan = plan
        # Rows of the table [fixed | context | label].
        tokens = sorted({s.row for row in plan.rows for s in row if s.part == "fixed"} | {end})
        place = {token: index for index, token in enumerate(tokens)}
        n_context = 1 + max((s.row for row in plan.rows for s in row if s.part == "context"), default=-1)
        offset = {"context": len(tokens), "label": len(tokens) + n_context}

        def index(source: Source) -> int:
            return place[source.row] if source.part == "fixed" else offset[source.part] + source.row

        # Cut behind the prefix, and pad the label sides to the longest.
        cut = plan.prefix_length
        longest = max(len(row) for row in plan.rows) - cut
        padded = [[index(s) for s in row[cut:]] + [place[end]] * (longest - len(row) + cut) for row in plan.rows]
        with torch.no_grad():
            fixed = token_embedding(torch.tensor(tokens, device=token_embedding.weight.device)).clone()
        self.register_buffer("fixed", fixed, persistent=False)
        self.register_buffer("prefix_index", torch.tensor([index(s) for s in plan.rows[0][:cut]]), persistent=False)
        self.register_buffer("label_index", torch.tensor(padded), persistent=False)
        self.register_buffer("end", torch.tensor([len(row) - cut - 1 for row in plan.rows]), persistent=False)
        self._packing = Packing.of(self.end, longest)
        self._fixed_prefix: FixedPrefix | None = None
        if fixed_context is not None:
            with torch.no_grad():
                self._fixed_prefix = FixedPrefix(self.prefix(fixed_context[None]))

    def prefix(self, context: Tensor) -> Tensor:
        """What all classes share, from context vectors (G, C, D). Shape: (G, P, D)

        It is the same tensor each time where the context is fixed.
        """
        if self._fixed_prefix is not None:
            return self._fixed_prefix
        fixed = self.fixed.to(context.dtype).expand(context.shape[0], -1, -1)
        return torch.cat([fixed, context], dim=1)[:, self.prefix_index]

    def labels(self, context: Tensor, label_vectors: Tensor) -> LabelSide:
        """The rest, from context vectors (1, C, D) and label vectors (V, D); there may be none of either."""
        table = torch.cat([self.fixed.to(context.dtype), context[0], label_vectors.to(context.dtype)])
        return LabelSide(table[self.label_index], self.end, self._packing)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PromptLayout":
        """Moves with the buffers what has been made of them."""
        super()._apply(fn, recurse)
        self._packing = self._packing.map(fn)
        if self._fixed_prefix is not None:
            self._fixed_prefix = FixedPrefix(fn(self._fixed_prefix))
        return self


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
