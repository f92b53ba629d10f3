"""LAMM's hierarchical loss (arXiv:2312.08212, Eq. 5–9): parameter space, feature space, logits space.

Letters: B images of a batch, N classes, V label vectors, D width, E embedding size.
All functions are pure and compute in fp32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

KD_DIRECTIONS = ("paper", "standard")
COS_OVER = ("classes", "batch")


def parameter_loss(learned: Tensor, initial: Tensor) -> Tensor:
    """L_WC: the sum of squared differences between the class embeddings and their initial values.

    Args:
        learned: (V, D).
        initial: (V, D).
    """
    return (learned.float() - initial.float()).square().sum()


def feature_loss(learned: Tensor, original: Tensor, labels: Tensor | None = None) -> Tensor:
    """L_COS: the mean of 1 − cos(ψ(z), ψ(y)).

    Args:
        learned: text features of the learned prompts, (N, E), or (B, N, E) where each image has prompts of its own.
        original: text features of the prompts with the original names, (N, E) or (B, N, E).
        labels: None takes the mean over all classes (and images). The batch's labels, (B,), take the mean over those
            of the batch, and zero for a batch whose labels are all the same (the authors' code).
    """
    distance = 1 - F.cosine_similarity(learned.float(), original.float(), dim=-1)
    if labels is None:
        return distance.mean()
    chosen = distance[labels] if distance.ndim == 1 else distance.gather(1, labels[:, None])
    return chosen.mean() * (labels != labels[0]).any()


def logits_loss(learned: Tensor, original: Tensor, temperature: float = 2.0, direction: str = "paper") -> Tensor:
    """L_KD: T² times the cross-entropy between the softened scores, mean over the batch (Eq. 7).

    Args:
        learned: logits s of the learned prompts, (B, N).
        original: logits o of the prompts with the original names, (B, N).
        temperature: T.
        direction: `paper`: the learned scores weigh the logarithm of the original ones; `standard`: textbook
            distillation, the other way round.

    Raises:
        ValueError: another direction.
    """
    if direction not in KD_DIRECTIONS:
        raise ValueError(f'KD_DIRECTION must be one of {", ".join(KD_DIRECTIONS)}, not "{direction}"')
    weights, scored = (learned, original) if direction == "paper" else (original, learned)
    weights = torch.softmax(weights.float() / temperature, dim=-1)
    logarithms = torch.log_softmax(scored.float() / temperature, dim=-1)
    return -(weights * logarithms).sum(dim=-1).mean() * temperature**2
