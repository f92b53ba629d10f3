"""How sure a classifier may be, and when a photo shows none of its classes.

The temperature T is that of the least log-loss of left-out photos (`lamm.calibration`). A method whose scores got their
scale by leave-one-out over all photos, in closed form, has T = 1: few left-out photos only add noise to that.

An out-of-class score is higher for stranger photos. With s the scores, and the image features' own distribution
N(μ_c, Σ) from the stored statistics:

    energy         −T log Σ_c exp(s_c / T)                                            arXiv:2010.03759
    max-logit      −max_c s_c                                                         arXiv:1911.11132
    max-softmax    −max_c softmax(s / T)_c                                            arXiv:1610.02136
    mahalanobis    min_c (x − μ_c)ᵀ Σ⁻¹ (x − μ_c)                                      arXiv:1807.03888
    relative       min_c of that, less (x − μ)ᵀ Σ₀⁻¹ (x − μ) of all photos together    arXiv:2106.09022

Letters: n photos, N classes, E embedding size.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lamm.calibration import expected_calibration_error, right_from_wrong, temperature_of
from lamm.estimator.file import Confidence
from lamm.gda import ClassStatistics

COVERAGE = 0.95
SHRINKAGE = 1.0
"""Of the covariances of `mahalanobis` and `relative`: towards a multiple of the identity, as in `lamm.gda`."""


class OutOfClass:
    """The out-of-class scores of photos.

    Args:
        temperature: T.
        statistics: of the training photos; None: those that need them are missing.
    """

    def __init__(self, temperature: float, statistics: ClassStatistics | None) -> None:
        self.scores: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "energy": lambda s, x: -temperature * torch.logsumexp(s.double() / temperature, dim=1),
            "max-logit": lambda s, x: -s.double().max(dim=1).values,
            "max-softmax": lambda s, x: -(s.double() / temperature).softmax(dim=1).max(dim=1).values,
        }
        if statistics is None or int((statistics.count > 0).sum()) < 2:
            return
        known = statistics.count > 0
        means, count = statistics.means[known], statistics.count.sum()  # (N, E)
        mean = statistics.sum.sum(dim=0) / count
        whole = statistics.outer - count * torch.outer(mean, mean)
        within, all_together = (_whitening(scatter) for scatter in (statistics.scatter, whole))

        def mahalanobis(s: Tensor, x: Tensor) -> Tensor:
            return torch.cdist(x.double() @ within, means @ within).square().min(dim=1).values

        def relative(s: Tensor, x: Tensor) -> Tensor:
            return mahalanobis(s, x) - ((x.double() - mean) @ all_together).square().sum(dim=1)

        self.scores |= {"mahalanobis": mahalanobis, "relative": relative}


def _whitening(scatter: Tensor) -> Tensor:
    """W with W Wᵀ the inverse of the shrunk scatter, whose mean eigenvalue is made 1. Shape: (E, E)"""
    values, vectors = torch.linalg.eigh(scatter)
    values = values.clamp(min=0)
    mean = values.mean().clamp(min=1e-12)
    return vectors * ((values / mean + SHRINKAGE) / (1 + SHRINKAGE)).rsqrt()


DEFAULT_SCORE = "mahalanobis"


class LeftOut(NamedTuple):
    """Photos that a classifier has not seen, and what it makes of them.

    Attributes:
        scores: (n, N).
        labels: (n,).
        features: (n, E); None where the trainer changes the image tower.
        statistics: of the photos that the classifier has seen; None there too.
    """

    scores: Tensor
    labels: Tensor
    features: Tensor | None
    statistics: ClassStatistics | None


def confidence_of(parts: Sequence[LeftOut], names: Sequence[str] = (), is_calibrated: bool = False) -> Confidence:
    """Temperature, and the threshold that `COVERAGE` of the photos stay below.

    Args:
        parts: by one classifier each.
        names: of the classes.
        is_calibrated: of `Prompts`; the temperature is 1 then.
    """
    if not parts:
        return Confidence()
    scores, labels = torch.cat([one.scores for one in parts]), torch.cat([one.labels for one in parts])
    temperature = 1.0 if is_calibrated else temperature_of(scores, labels)
    strange = torch.cat([unknown_scores(one.scores, one.features, temperature, one.statistics) for one in parts])
    rank = min(math.ceil(COVERAGE * (len(strange) + 1)), len(strange))  # so that a new photo is below as often
    threshold = strange.double().sort().values[rank - 1].item()
    sure, right = _sureness(scores / temperature), scores.argmax(dim=1) == labels
    auroc = right_from_wrong(sure, right)
    return Confidence(
        temperature=temperature,
        threshold=threshold,
        coverage=(strange <= threshold).double().mean().item(),
        photos=len(labels),
        ece=expected_calibration_error(sure, right),
        ece_before=expected_calibration_error(_sureness(scores), right),
        auroc=math.nan if auroc is None else auroc,
        classes=tuple(names),
    )


def _sureness(scores: Tensor) -> Tensor:
    """The highest probability of each photo. Shape: (n,)"""
    return scores.softmax(dim=1).max(dim=1).values


def unknown_scores(
    scores: Tensor, features: Tensor | None, temperature: float, statistics: ClassStatistics | None
) -> Tensor:
    """How strange photos are to the classes; higher is stranger. Shape: (n,)

    Args:
        scores: (n, N).
        features: (n, E); None where the trainer changes the image tower.
        temperature: T.
        statistics: of the training photos.
    """
    known = OutOfClass(temperature, statistics if features is not None else None).scores
    chosen = known.get(DEFAULT_SCORE, known["energy"])
    return chosen(scores, features if features is not None else scores)
