"""Prompts encoded a chunk at a time, so that memory does not grow with their number.

Letters: G prefixes (1, or one an image), N classes, T label-side positions, D width, E embedding size.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

EVALUATION_CHUNK = 4096


def encode_in_chunks(
    run: Callable[..., Tensor], prefixes: Sequence[Tensor], labels: Tensor, end: Tensor, chunk: int
) -> Tensor:
    """Features of every prefix with every class.

    Args:
        run: from (labels (n, T, D), end (n,), *prefixes (g, ...)) to features (g, n, E).
        prefixes: what belongs to the prefixes, each tensor (G, ...).
        labels: (N, T, D).
        end: (N,).
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
    # A chunk is some prefixes with all classes, or one prefix with some classes.
    together = max(1, chunk // classes)
    rows = []
    for own in zip(*(part.split(together) for part in prefixes), strict=True):
        of_classes = []
        for some, ends in zip(labels.split(chunk), end.split(chunk), strict=True):
            if recording:
                of_classes.append(checkpoint(run, some, ends, *own, use_reentrant=False, preserve_rng_state=False))
            else:
                of_classes.append(run(some, ends, *own))
        rows.append(torch.cat(of_classes, dim=1))
    return torch.cat(rows)
