"""Prompts put together by hand, and encoded at all 77 positions by an open_clip `CLIP` object's own parts.

Letters: N classes, C context vectors, D width, E embedding size.
"""

from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import Tensor

START, END, FULL_STOP, PLACEHOLDER, PADDING = 49406, 49407, 269, 343, 0
LENGTH = 77

# One position of a prompt: token id, and an embedding (D,) in place of the id's own.
Position = tuple[int, Tensor | None]


@dataclass
class Words:
    """Token ids of a prompt's parts."""

    context: list[int]
    name: list[int]
    stop: list[int]
    alone: list[int]  # the name tokenised by itself


def read_prompt(context: str, class_name: str) -> Words:
    """Cut open_clip's own ids of the whole text into parts; what swallowed the full stop is name."""
    spoken = class_name.replace("_", " ")
    inside = tokens_of(f"{context} {spoken}.".strip())
    length = len(tokens_of(context)) if context else 0
    rest = inside[length:]
    stop = [FULL_STOP] if rest[-1] == FULL_STOP else []
    return Words(inside[:length], rest[: len(rest) - len(stop)], stop, tokens_of(spoken))


def tokens_of(text: str) -> list[int]:
    """open_clip's ids of a text, without start and end token."""
    ids = open_clip.tokenize([text])[0].tolist()
    return ids[1 : ids.index(END)]


def initial_labels(
    model: Any, words: list[Words], label_tokens: str, released_length: int | None = None
) -> list[Tensor]:
    """Each class's label vectors at step 0, (vectors, D); `released_length`: m, else that of the shortest name."""
    shortest = min(len(word.alone) for word in words) if released_length is None else released_length
    starts = []
    for word in words:
        tokens = word.alone[:shortest] if label_tokens == "released" else word.name
        embedded = torch.stack([model.token_embedding.weight[token] for token in tokens])
        if label_tokens == "single":
            embedded = embedded.mean(dim=0, keepdim=True)
        starts.append(embedded.detach().clone())
    return starts


def assemble(
    words: Words,
    context: Tensor | None = None,
    label: Tensor | None = None,
    label_tokens: str = "name",
    position: str = "end",
) -> list[Position]:
    """One class's prompt, start to end token.

    Args:
        words: the parts.
        context: vectors (C, D) in place of the first C context words (or of none, where there are no words).
        label: the class's vectors; None keeps the words of its name.
        label_tokens: how the vectors stand for the name.
        position: of the name in the context.
    """
    vectors: list[Position] = [] if context is None else [(PLACEHOLDER, vector) for vector in context]
    around = vectors + [(token, None) for token in words.context[len(vectors) :]]
    name: list[Position] = [(token, None) for token in words.name]
    if label is not None and label_tokens != "released":
        name = [(PLACEHOLDER, vector) for vector in label]
    cut = {"end": len(around), "middle": len(around) // 2, "front": 0}[position]
    row = [(START, None), *around[:cut], *name, *around[cut:], *[(token, None) for token in words.stop], (END, None)]
    if label is not None and label_tokens == "released":
        covered = len(words.context) if context is None else len(vectors)
        for offset, vector in enumerate(label):
            row[1 + covered + offset] = (PLACEHOLDER, vector)
    return row


def encode(model: Any, rows: list[list[Position]]) -> Tensor:
    """Unit text features (N, E): padding to 77, the tower's own transformer and mask, the feature at argmax of ids."""
    ids, embedded = embed(model, rows)
    x = model.transformer(embedded + model.positional_embedding, attn_mask=model.attn_mask)
    return read_features(model, ids, x)


def embed(model: Any, rows: list[list[Position]]) -> tuple[Tensor, Tensor]:
    """Token ids (N, 77) and embeddings (N, 77, D), without positional embeddings, of prompts padded to 77."""
    padded = [row + [(PADDING, None)] * (LENGTH - len(row)) for row in rows]
    ids = torch.tensor([[token for token, _ in row] for row in padded])
    table = model.token_embedding.weight
    rows_of_vectors = [[table[token] if vector is None else vector for token, vector in row] for row in padded]
    return ids, torch.stack([torch.stack(vectors) for vectors in rows_of_vectors])


def read_features(model: Any, ids: Tensor, x: Tensor) -> Tensor:
    """Unit text features (N, E) from what the last block put out, (N, 77, D)."""
    x = model.ln_final(x)
    features = x[torch.arange(len(ids)), ids.argmax(dim=-1)] @ model.text_projection
    return features / features.norm(dim=-1, keepdim=True)


def encode_texts(model: Any, texts: list[str]) -> Tensor:
    """Unit text features of plain texts, by open_clip alone."""
    with torch.no_grad():
        features = model.encode_text(open_clip.tokenize(texts))
    return features / features.norm(dim=-1, keepdim=True)
