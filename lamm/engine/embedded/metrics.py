"""Accuracy of a batch, and distances between rows. Shapes: B images, C classes, M and N rows, D width."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def compute_accuracy(output: Tensor | Sequence[Tensor], target: Tensor, topk: Sequence[int] = (1,)) -> list[Tensor]:
    """Share, in percent, of images whose label is among the k highest logits.

    Args:
        output: Logits [B, C]; of a tuple or list the first item counts.
        target: Labels [B].
        topk: The values of k.

    Returns:
        One tensor of shape [1] for each k.
    """
    logits = output if isinstance(output, Tensor) else output[0]
    highest = logits.topk(max(topk), dim=1).indices
    hits = highest.eq(target.view(-1, 1))
    return [hits[:, :k].sum().float().mul(100.0 / target.shape[0]).reshape(1) for k in topk]


def compute_distance_matrix(input1: Tensor, input2: Tensor, metric: str = "euclidean") -> Tensor:
    """Distances [M, N] between the rows of `input1` [M, D] and `input2` [N, D].

    Args:
        input1: Rows [M, D].
        input2: Rows [N, D].
        metric: `euclidean` (squared) or `cosine`.

    Raises:
        ValueError: Inputs that are not matrices of equal width, or an unknown metric.
    """
    if input1.dim() != 2 or input2.dim() != 2 or input1.shape[1] != input2.shape[1]:
        raise ValueError(f"expected two matrices of equal width, got {tuple(input1.shape)} and {tuple(input2.shape)}")
    if metric == "euclidean":
        return euclidean_squared_distance(input1, input2)
    if metric == "cosine":
        return cosine_distance(input1, input2)
    raise ValueError(f'unknown distance metric "{metric}"; choose "euclidean" or "cosine"')


def euclidean_squared_distance(input1: Tensor, input2: Tensor) -> Tensor:
    """Squared Euclidean distances [M, N]: |a|² + |b|² − 2ab."""
    squares1 = input1.pow(2).sum(dim=1, keepdim=True)
    squares2 = input2.pow(2).sum(dim=1)
    return torch.addmm(squares1 + squares2, input1, input2.t(), beta=1, alpha=-2)


def cosine_distance(input1: Tensor, input2: Tensor) -> Tensor:
    """One minus the cosine of each pair of rows, [M, N]."""
    return 1 - F.normalize(input1, dim=1) @ F.normalize(input2, dim=1).t()
