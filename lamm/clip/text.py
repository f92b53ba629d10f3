"""Text encoders: prompts as embeddings in, text features out.

Letters: G prefixes (1, or one per image), N classes, P prefix positions, T label-side positions, D width,
E embedding size.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lamm.clip.text_tower import TextTower

EVALUATION_CHUNK = 4096


def encode_in_chunks(
    run: Callable[..., Tensor], prefixes: Sequence[Tensor], labels: Tensor, end: Any, chunk: int
) -> Tensor:
    """Features of every prefix with every class.

    Args:
        run: from (labels (n, T, D), end of these n classes, *prefixes (g, ...)) to features (g, n, E).
        prefixes: what belongs to the prefixes, each tensor (G, ...).
        labels: (N, T, D).
        end: where the N end tokens stand: anything whose slices are those of the classes.
        chunk: prompts at a time where gradients are recorded; the backward pass encodes each chunk again. 0: all at
            once. Without gradients it is `EVALUATION_CHUNK` at most.

    Returns:
        (G, N, E)
    """
    groups, classes = len(prefixes[0]), len(labels)
    recording = torch.is_grad_enabled()
    if not recording:
        chunk = min(chunk or EVALUATION_CHUNK, EVALUATION_CHUNK)
    if not chunk or groups * classes <= chunk:
        return run(labels, end, *prefixes)
    if recording:
        run = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
    # A chunk is some prefixes with all classes, or one prefix with some classes.
    together = max(1, chunk // classes)
    ends = [end[start : start + chunk] for start in range(0, classes, chunk)]
    rows = []
    for some_prefixes in zip(*(part.split(together) for part in prefixes), strict=True):
        some_classes = zip(labels.split(chunk), ends, strict=True)
        rows.append(torch.cat([run(some, own_ends, *some_prefixes) for some, own_ends in some_classes], dim=1))
    return torch.cat(rows)


class PlainTextEncoder:
    """Encodes every class's whole prompt.

    The tower is causal, so the positions after the longest prompt are left out: the result is the same.

    Args:
        tower: the frozen text tower.
        chunk: prompts that training encodes at a time (`encode_in_chunks`).
    """

    def __init__(self, tower: TextTower, chunk: int = 0) -> None:
        self.tower = tower
        self.chunk = chunk

    def encode(
        self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = (), packing: Any = None
    ) -> Tensor:
        """Text features, not normalised.

        Args:
            prefix: what all classes share, (G, P, D).
            labels: the rest of each prompt, (N, T, D).
            end: place of the end token within the label side, (N,).
            deep: context of the blocks after the first, (C, D) each; see `TextTower.transform`.
            packing: the label side's, which its layout has at hand; it spares the shared-prefix encoder to make it,
                and has no use here.

        Returns:
            Features of shape (G, N, E).

        Raises:
            PromptError: P + T is above the context length.
        """
        return encode_in_chunks(partial(self._run, deep=deep), [prefix], labels, end, self.chunk)

    def _run(self, labels: Tensor, end: Tensor, prefix: Tensor, deep: Sequence[Tensor]) -> Tensor:
        groups, prefix_length, width = prefix.shape
        classes, label_length, _ = labels.shape
        prompts = torch.cat(
            [
                prefix[:, None].expand(groups, classes, prefix_length, width),
                labels[None].expand(groups, classes, label_length, width),
            ],
            dim=2,
        )
        positions = self.tower.positions(0, prefix_length + label_length)
        x = self.tower.transform((prompts + positions).flatten(0, 1), deep)
        at_end = x.unflatten(0, (groups, classes))[:, torch.arange(classes, device=x.device), prefix_length + end]
        return self.tower.finish(at_end)


def encode_texts(tower: TextTower, rows: list[list[int]]) -> Tensor:
    """Text features, not normalised, of rows of token ids with start and end token. Shape: (len(rows), E)"""
    device = tower.token_embedding.weight.device
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    end = torch.tensor([len(row) - 1 for row in rows], device=device)
    x = tower.transform(tower.embed(ids) + tower.positional_embedding[:longest])
    return tower.finish(x[torch.arange(len(rows), device=device), end])
