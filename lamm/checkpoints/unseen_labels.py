"""Labels of classes never seen: what training has done to a sub-token is carried over to new names that have it too.

A learned label vector M_v stands for a sub-token t(v) and has moved from its embedding M_v⁰. "striped star" and
"striped ring" have a sub-token in common, and what its vectors have in common is about the word, not the class:

    M_v − M_v⁰ = u_t(v) + ε_v,   u_t ~ N(0, 1),   ε_v ~ N(0, λ)
    M_w = M_w⁰ + n_t / (n_t + λ) · mean of M_v − M_v⁰ over the n_t vectors v with t(v) = t(w)

for a sub-token w of a new name. A sub-token that no learned label has keeps CLIP's own embedding. λ, in units of the
shared part's variance, has the least squared error when each class is left out and predicted from the others. No image
is needed for that. Where no λ is better than CLIP's own labels (λ = ∞), new classes get these.

Letters: V learned vectors, W vectors of new names, D width.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NOISES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""λ."""


class SharedShifts(NamedTuple):
    """What new names get.

    Attributes:
        shifts: to be added to the embeddings of the new names, (W, D).
        error: squared error on classes left out, as a share of that of CLIP's own labels; 1.0 where these are best.
    """

    shifts: Tensor
    error: float


def shared_shifts(
    moved: Tensor, tokens: Sequence[Hashable], counts: Sequence[int], new_tokens: Sequence[Hashable]
) -> SharedShifts:
    """The shifts of new names' vectors.

    Args:
        moved: M − M⁰, (V, D).
        tokens: which sub-token each of the V vectors stands for.
        counts: how many of the vectors each class has.
        new_tokens: which sub-token each of the W vectors stands for.

    Example:
        >>> moved = torch.tensor([[1.0, 0], [0, 0], [1, 0], [0, 2]])  # striped star, striped ring
        >>> shared_shifts(moved, ["striped", "star", "striped", "ring"], [2, 2], ["striped", "owl"]).shifts
        tensor([[0.9524, 0.0000],
                [0.0000, 0.0000]])
    """
    places = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
    token = torch.tensor([places[one] for one in tokens], device=moved.device)  # (V,)
    new = torch.tensor([places.get(one, len(places)) for one in new_tokens], device=moved.device)  # (W,)
    owner = torch.repeat_interleave(torch.tensor(list(counts), device=moved.device))  # (V,)
    moved = moved.double()
    # Sums over the vectors of a sub-token; the last row is of sub-tokens that no learned label has.
    total = moved.new_zeros(len(places) + 1, moved.shape[1]).index_add(0, token, moved)
    number = moved.new_zeros(len(places) + 1, 1).index_add(0, token, torch.ones_like(moved[:, :1]))
    # The same without the vectors of a vector's own class, which may have its sub-token twice.
    own = (token * len(counts) + owner).unique(return_inverse=True)[1]
    own_total = torch.zeros_like(moved).index_add(0, own, moved)[own]
    own_number = torch.zeros_like(moved[:, :1]).index_add(0, own, torch.ones_like(moved[:, :1]))[own]
    others, number_of_others = total[token] - own_total, number[token] - own_number

    clip_error = moved.square().sum().item()
    errors = {noise: (others / (number_of_others + noise) - moved).square().sum().item() for noise in NOISES}
    noise = min(errors, key=errors.__getitem__)
    if errors[noise] >= clip_error:
        return SharedShifts(torch.zeros(len(new), moved.shape[1], device=moved.device), 1.0)
    return SharedShifts((total / (number + noise))[new].float(), errors[noise] / clip_error)
