"""LAMM's loss (arXiv:2312.08212, Eq. 5–9) written as loops over numbers, in float64; slow, and only for comparison.

Letters: B images, N classes, V label vectors, D width, E embedding size.
"""

import numpy as np


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """cos(a, b) of two vectors."""
    dot = norm_a = norm_b = 0.0
    for x, y in zip(a, b, strict=True):
        dot, norm_a, norm_b = dot + x * y, norm_a + x * x, norm_b + y * y
    return dot / (norm_a**0.5 * norm_b**0.5)


def parameter_loss(learned: np.ndarray, initial: np.ndarray) -> float:
    """Eq. 5, L_WC: sum over all vectors and all their entries of the squared difference. (V, D) each."""
    total = 0.0
    for vector, start in zip(learned, initial, strict=True):
        for value, origin in zip(vector, start, strict=True):
            total += (value - origin) ** 2
    return total


def feature_loss(learned: np.ndarray, original: np.ndarray, labels: np.ndarray | None = None) -> float:
    """Eq. 6, L_COS: 1 − cos(ψ(z_i), ψ(y_i)), averaged.

    Args:
        learned: (N, E), or (B, N, E) for prompts per image.
        original: as `learned`, or (1, N, E) for all images alike.
        labels: None: over classes (and images); (B,): over the batch's labels, zero if these are all the same.
    """
    per_image = learned.ndim == 3
    prompts = learned if per_image else learned[None]
    anchors = original if original.ndim == 3 else original[None]
    distances = []
    if labels is None:
        for image in range(len(prompts)):
            for label in range(prompts.shape[1]):
                anchor = anchors[image if len(anchors) > 1 else 0, label]
                distances.append(1.0 - cosine(prompts[image, label], anchor))
        return sum(distances) / len(distances)
    if len(set(labels.tolist())) == 1:
        return 0.0
    for image, label in enumerate(labels):
        own = prompts[image if per_image else 0, label]
        anchor = anchors[image if len(anchors) > 1 else 0, label]
        distances.append(1.0 - cosine(own, anchor))
    return sum(distances) / len(distances)


def softmax(scores: np.ndarray) -> np.ndarray:
    """exp(s_i) / Σ_j exp(s_j) of one row."""
    exponentials = [np.exp(score - max(scores)) for score in scores]
    return np.array([value / sum(exponentials) for value in exponentials])


def logits_loss(learned: np.ndarray, original: np.ndarray, temperature: float, direction: str) -> float:
    """Eq. 7, L_KD, on softened scores: T² · Σ_i −w_i · log(v_i), mean over the batch. Logits (B, N) each.

    `paper`: w from the learned scores, v from the original ones; `standard`: the other way round.
    """
    total = 0.0
    for s, o in zip(learned, original, strict=True):
        weights = softmax((s if direction == "paper" else o) / temperature)
        scored = softmax((o if direction == "paper" else s) / temperature)
        for weight, value in zip(weights, scored, strict=True):
            total -= weight * np.log(value)
    return temperature**2 * total / len(learned)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """L_CE: −log softmax(logits)_label, mean over the batch."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        total -= np.log(softmax(row)[label])
    return total / len(logits)


def total_loss(
    ce: float, wc: float, cos: float, kd: float, shots: float, lambda_cos: float = 1.0, lambda_kd: float = 0.05
) -> float:
    """Eq. 8 and 9: L = L_CE + (1/n) · L_WC + λ2 · L_COS + λ3 · L_KD."""
    return ce + wc / shots + lambda_cos * cos + lambda_kd * kd
