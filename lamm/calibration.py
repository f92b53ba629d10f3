"""Whether probabilities mean what they say (arXiv:1706.04599).

A classifier is calibrated if of the images to which it gives confidence p the share p is classified correctly.

Letters: n images, N classes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURES = tuple(10.0 ** (step / 24) for step in range(-48, 49))
"""0.01 … 100."""
BINS = 15


def temperature_of(scores: Tensor, labels: Tensor) -> float:
    """T whose probabilities softmax(s / T) have the least log-loss, with a normal prior on ln T.

    The prior counts where images say little: where all of them are right, the loss alone would want T = 0.

    Args:
        scores: of images that were left out of training, (n, N).
        labels: (n,).
    """
    losses = {
        t: F.cross_entropy(scores / t, labels, reduction="sum").item() + 0.5 * math.log(t) ** 2 for t in TEMPERATURES
    }
    return min(losses, key=losses.__getitem__)


def expected_calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """ECE in percent: the distance between confidence and accuracy, over 15 bins of confidence, weighted by images.

    Args:
        confidence: the highest probability of each image, (n,).
        correct: whether its class is right, (n,).

    Example:
        >>> round(expected_calibration_error(torch.tensor([0.9, 0.9]), torch.tensor([True, False])), 3)
        40.0
    """
    confidence = confidence.double()
    bin_of = (confidence * BINS).long().clamp(max=BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bin_of, correct.double() - confidence)
    return 100 * gaps.abs().sum().item() / len(confidence)


def right_from_wrong(confidence: Tensor, correct: Tensor) -> float | None:
    """AUROC in percent: how often a right prediction is surer than a wrong one (arXiv:1610.02136).

    None: all are right, or all are wrong.

    Args:
        confidence: the highest probability of each image, (n,).
        correct: whether its class is right, (n,).

    Example:
        >>> right_from_wrong(torch.tensor([0.9, 0.6, 0.7, 0.5]), torch.tensor([True, True, False, False]))
        75.0
    """
    correct = correct.bool()
    levels, level = confidence.unique(return_inverse=True)  # in ascending order
    right, wrong = (level[chosen].bincount(minlength=len(levels)).double() for chosen in (correct, ~correct))
    if not (right.any() and wrong.any()):
        return None
    less_sure = wrong.cumsum(0) - wrong / 2  # a wrong one that is as sure counts half
    return 100 * (right @ less_sure / (right.sum() * wrong.sum())).item()
