"""Text encoders: prompts as embeddings in, text features out.

Letters: G prefixes (1, or one per image), N classes, P prefix positions, T label-side positions, D width,
E embedding size.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lamm.clip.text_tower import TextTower
from lamm.log import logger
from lamm.memory import free_bytes
from lamm.parallel.ranks import current_ranks

EVALUATION_CHUNK = 4096
TRAINING_CHUNK = 512
MIB = 2**20


@dataclass
class Chunks:
    """How many prompts an encoder takes at a time, and how many of them it keeps for the backward pass.

    What the backward pass needs of a chunk is kept where it fits the memory; otherwise the chunk is encoded again.

    Args:
        size: prompts at a time where gradients are recorded, or `EVALUATION_CHUNK` without gradients if that is less.
            0: `TRAINING_CHUNK`, whose tensors suit a CPU's caches; on a GPU all at once where they fit the memory.
        memory: what may be kept, in MiB. 0: half of what is free when it is first asked, shared by the processes on a
            CPU.
    """

    size: int = 0
    memory: float = 0
    _fitting: float | None = field(default=None, init=False)  # prompts that fit the memory; None: not known yet
    _told: bool = field(default=False, init=False)

    def encode(self, run: Callable[..., Tensor], prefixes: Sequence[Tensor], labels: Tensor, end: Any) -> Tensor:
        """Features of every prefix with every class.

        Args:
            run: from (labels (n, T, D), end of these n classes, *prefixes (g, ...)) to features (g, n, E).
            prefixes: what belongs to the prefixes, each tensor (G, ...).
            labels: (N, T, D).
            end: where the N end tokens stand: anything whose slices are those of the classes.

        Returns:
            (G, N, E)
        """
        groups, classes = len(prefixes[0]), len(labels)
        count, fitting = groups * classes, math.inf
        recording = torch.is_grad_enabled()
        size = self.size or TRAINING_CHUNK
        if not recording:
            size = min(self.size or EVALUATION_CHUNK, EVALUATION_CHUNK)
        if count <= size:
            return run(labels, end, *prefixes)
        # A chunk is some prefixes with all classes, or one prefix with some classes.
        together = max(1, size // classes)
        if recording:
            first = labels[:size], end[:size], *(part[:together] for part in prefixes)
            fitting = self._prompts_that_fit(run, *first)
            if count <= fitting and not self.size and labels.device.type != "cpu":
                return run(labels, end, *prefixes)
        run_again = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
        ends = [end[start : start + size] for start in range(0, classes, size)]
        rows, left, again = [], count, 0
        for some_prefixes in zip(*(part.split(together) for part in prefixes), strict=True):
            row = []
            for some, own_end in zip(labels.split(size), ends, strict=True):
                # The last chunks are kept: the backward pass begins with them, and has freed them before it encodes
                # the first ones again.
                fits = left <= fitting
                row.append((run if fits else run_again)(some, own_end, *some_prefixes))
                prompts = len(some_prefixes[0]) * len(some)
                left -= prompts
                again += 0 if fits else prompts
            rows.append(torch.cat(row, dim=1))
        if again and not self._told:
            self._told = True
            logger.info(
                "Text side: %s of %s prompts are kept for the backward pass, the others encoded twice "
                "(TRAINER.TEXT_MEMORY)",
                *(f"{number:,}" for number in (count - again, count)),
            )
        return torch.cat(rows)

    def _prompts_that_fit(self, run: Callable[..., Tensor], labels: Tensor, *others: Any) -> float:
        """How many prompts the memory has room for, by what a chunk of them takes; measured once."""
        if self._fitting is None:
            per_prompt = bytes_per_prompt(run, labels, *others)
            if not per_prompt:
                return math.inf  # nothing is learned here
            sharing = current_ranks().local_size if labels.device.type == "cpu" else 1
            self._fitting = (MIB * self.memory or free_bytes(labels.device) / 2 / sharing) / per_prompt
        return self._fitting


def bytes_per_prompt(run: Callable[..., Tensor], labels: Tensor, end: Any, *prefixes: Tensor) -> float:
    """What the backward pass keeps of each prompt, in bytes, without what all prompts share, such as weights.

    Args:
        run, labels, end, prefixes: as in `Chunks.encode`.
    """
    # What all prompts share is saved for the first one alone too, whose features live on, so that no address is used
    # twice.
    alone, of_one = _bytes_saved(run, labels[:1], end[:1], *(part[:1] for part in prefixes))
    together, of_all = _bytes_saved(run, labels, end, *prefixes)
    own = sum(size for address, size in of_all.items() if address not in of_one)
    return own * alone.numel() / together.numel()


def _bytes_saved(run: Callable[..., Tensor], *sides: Any) -> tuple[Tensor, dict[int, int]]:
    """Features, and the bytes of each memory that they keep for the backward pass, by its address."""
    sizes: dict[int, int] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would hold its own graph, for good

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        return run(*sides), sizes


class PlainTextEncoder:
    """Encodes every class's whole prompt.

    The tower is causal, so the positions after the longest prompt are left out: the result is the same.

    Args:
        tower: the frozen text tower.
        chunks: how many prompts are encoded at a time.
    """

    def __init__(self, tower: TextTower, chunks: Chunks | None = None) -> None:
        self.tower = tower
        self.chunks = chunks or Chunks()

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
        return self.chunks.encode(partial(self._run, deep=deep), [prefix], labels, end)

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
