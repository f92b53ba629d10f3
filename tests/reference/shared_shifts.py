"""What unseen labels get, with every class really left out and predicted anew; slow, in float64, for comparison.

Letters: V learned vectors, W vectors of new names, D width.
"""

from collections.abc import Sequence

import numpy as np


def predicted(moved: np.ndarray, tokens: Sequence[str], new: Sequence[str], noise: float) -> np.ndarray:
    """Posterior mean of u_t in M_v − M_v⁰ = u_t + ε_v: Gaussian regression, k(v, w) = [t(v) = t(w)]. Shape: (W, D)"""
    same = np.array([[float(a == b) for b in tokens] for a in tokens])
    seen = np.array([[float(a == b) for b in tokens] for a in new])
    return seen @ np.linalg.solve(same + noise * np.eye(len(tokens)), moved)


def shared_shifts(
    moved: np.ndarray, tokens: Sequence[str], counts: Sequence[int], new: Sequence[str], noises: Sequence[float]
) -> tuple[np.ndarray, float]:
    """The shifts (W, D), and the squared error on classes left out as a share of that of no shift."""
    owner = np.repeat(np.arange(len(counts)), counts)
    nothing = float((moved**2).sum())
    least, best = nothing, np.zeros((len(new), moved.shape[1]))
    for noise in noises:
        error = 0.0
        for left_out in range(len(counts)):
            rest, out = np.flatnonzero(owner != left_out), np.flatnonzero(owner == left_out)
            guess = predicted(moved[rest], [tokens[v] for v in rest], [tokens[v] for v in out], noise)
            error += float(((guess - moved[out]) ** 2).sum())
        if error < least:
            least, best = error, predicted(moved, tokens, new, noise)
    return best, least / nothing
