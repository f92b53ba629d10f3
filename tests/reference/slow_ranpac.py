"""RanPAC (arXiv:2307.02251) and the nearest class mean (arXiv:2303.07338), image by image, as in their papers."""

from collections.abc import Sequence

import numpy as np

Pair = tuple[np.ndarray, int]
"""An image's unit feature and its class."""


def class_mean_cosines(images: Sequence[Pair], classes: int, x: np.ndarray) -> list[float]:
    """cos(x, mean of a class) for each class."""
    cosines = []
    for label in range(classes):
        mean = np.mean([feature for feature, own in images if own == label], axis=0)
        cosines.append(float(x @ mean / (np.linalg.norm(x) * np.linalg.norm(mean))))
    return cosines


def h(x: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """h = ReLU(xᵀ R), sum by sum."""
    return np.array([max(0.0, sum(x[i] * column[i] for i in range(len(x)))) for column in projection.T])


def ridge_weights(images: Sequence[Pair], classes: int, projection: np.ndarray, ridge: float) -> np.ndarray:
    """W = (G + λ 1)⁻¹ Q with G = Σ h hᵀ, Q = Σ h yᵀ. Shape: (M, N)"""
    size = projection.shape[1]
    gram, products = np.zeros((size, size)), np.zeros((size, classes))
    for x, label in images:
        gram += np.outer(h(x, projection), h(x, projection))
        products[:, label] += h(x, projection)
    return np.linalg.inv(gram + ridge * np.eye(size)) @ products


def best_ridge(fitted: Sequence[Pair], held_out: Sequence[Pair], classes: int, projection: np.ndarray) -> float:
    """λ of 10^-8 … 10^8 whose weights, from some images, have the least squared error on others."""
    errors = {}
    for exponent in range(-8, 9):
        weights = ridge_weights(fitted, classes, projection, 10.0**exponent)
        errors[10.0**exponent] = sum(
            float(np.sum((h(x, projection) @ weights - np.eye(classes)[label]) ** 2)) for x, label in held_out
        )
    return min(errors, key=errors.__getitem__)


def best_temperature(scores: np.ndarray, labels: Sequence[int], zero_shot: np.ndarray) -> float:
    """T = r e^x, x of −5, −4.95 … 5, of the least log-loss + x² / 2; scores and zero-shot scores are (n, k, N)."""

    def spread(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean([np.var(row) for view in values for row in view])))

    ratio = spread(scores) / spread(zero_shot)
    losses = {}
    for step in range(-100, 101):
        temperature, loss = ratio * np.exp(0.05 * step), 0.5 * (0.05 * step) ** 2
        for views, label in zip(scores, labels, strict=True):
            if list(labels).count(label) > 1:
                shares = [np.exp(row / temperature) / np.exp(row / temperature).sum() for row in views]
                loss -= np.mean([np.log(share[label]) for share in shares])
        losses[temperature] = loss
    return min(losses, key=losses.__getitem__)
