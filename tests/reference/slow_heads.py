"""Heads on image features by their published equations, an image and a class at a time, in float64.

GDA: arXiv:2402.04087. Tip-Adapter: arXiv:2111.03930. Features are unit vectors; n images of k views are n·k rows.
"""

import math

import numpy as np

Array = np.ndarray


def class_mean(rows: Array, labels: Array, c: int) -> Array:
    return sum(row for row, label in zip(rows, labels, strict=True) if label == c) / int((labels == c).sum())


def scatter_within(rows: Array, labels: Array) -> Array:
    """S = Σ (x − μ_y)(x − μ_y)ᵀ"""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for row, label in zip(rows, labels, strict=True):
        away = row - class_mean(rows, labels, label)
        total += np.outer(away, away)
    return total


def published_precision(rows: Array, labels: Array) -> Array:
    """P = d pinv((N − 1) Σ + tr(Σ) I), Σ = CᵀC / (N − 1), of N features"""
    count, size = rows.shape
    sigma = scatter_within(rows, labels) / (count - 1)
    return size * np.linalg.pinv((count - 1) * sigma + np.trace(sigma) * np.eye(size))


def shrunk_precision(rows: Array, labels: Array, shrinkage: float) -> Array:
    """P = (Σ + ρ tr(Σ)/d I)⁻¹, Σ pooled: divided by the features less the classes"""
    count, size = rows.shape
    sigma = scatter_within(rows, labels) / (count - len(set(labels.tolist())))
    return np.linalg.inv(sigma + shrinkage * np.trace(sigma) / size * np.eye(size))


def discriminant(rows: Array, labels: Array, classes: int, precision: Array, x: Array) -> Array:
    """P μ_k · x − log K − ½ μ_kᵀ P μ_k; −inf for a class without features. Shape: (classes,)"""
    scores = np.full(classes, -np.inf)
    for c in set(labels.tolist()):
        mean = class_mean(rows, labels, c)
        scores[c] = mean @ precision @ x - math.log(classes) - 0.5 * mean @ precision @ mean
    return scores


def cache_scores(keys: Array, labels: Array, classes: int, beta: float, x: Array) -> Array:
    """exp(−β (1 − f F)) L of Tip-Adapter, a key at a time. Shape: (classes,)"""
    scores = np.zeros(classes)
    for key, label in zip(keys, labels, strict=True):
        scores[label] += math.exp(-beta * (1 - float(key @ x)))
    return scores
