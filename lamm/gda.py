"""Gaussian discriminant analysis on image features (arXiv:2402.04087): a linear classifier in closed form.

Classes are Gaussians with one covariance. With x the features of all views of all images, n of them in N classes,

    μ_c = mean of class c                      S = Σ_x (x − μ_c)(x − μ_c)ᵀ      scatter within classes
    P   = f (S + ε I)⁻¹                                                          precision
    s_c(x) = w_c·x + b_c,    w_c = P μ_c,    b_c = −log N − ½ μ_cᵀ P μ_c         score, up to a term without c

with f = n − N, ε = ρ tr(S)/d: the inverse of Σ + ρ tr(Σ)/d I, where Σ = S/(n − N) is the pooled covariance and ρ the
shrinkage. The published form has f = d, ε = tr(S)/(n − 1). Without any scatter (an image per class, of one view) P = I.

All of it follows from sums over images (`ClassStatistics`): in any order, in parts, and without keeping an image.

Leaving image i out, of class c, whose k views have residuals R = X − 1μ_cᵀ (k, d), takes from S a term of rank k, so
that the scores without it need no second fit (Woodbury). With m = n_c − k and A = S + ε′ I

    S′ = S − Rᵀ (I + 11ᵀ/m) R                  μ_c′ = μ_c − Rᵀ1/m
    (S′ + ε′ I)⁻¹ = A⁻¹ + A⁻¹Rᵀ (I − 11ᵀ/n_c − R A⁻¹ Rᵀ)⁻¹ R A⁻¹

where f′ and ε′ are those of the other images; in the eigenvectors of S, A⁻¹ is diagonal whatever ε′ is.

Letters: n images, k views of each, N classes, d size of a feature. All computations are in float64.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# What rounding leaves of a scatter that is none, as a share of the second moment.
NO_SCATTER = 1e-12
# Scores that are computed at a time, to bound the memory.
SCORES_AT_ONCE = 20_000_000
# What is chosen among by left-out images: ρ, and the weight of scores.
SHRINKAGES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
SCALES = tuple(10.0 ** (step / 8) for step in range(-24, 9))  # 1e-3 … 10
# In the place of −inf, the score of a class without images: a checkpoint holds no infinities.
NEVER = -1e9


@dataclass(frozen=True)
class ClassStatistics:
    """What the head needs to know of training features: sums, from which no image can be made again.

    Attributes:
        count: features of each class, (N,).
        sum: of the features of each class, (N, d).
        outer: sum of the outer products of all features, (d, d).

    Example:
        >>> features, labels = torch.eye(4).view(2, 2, 4), torch.tensor([0, 1])
        >>> one, other = (ClassStatistics.of(features[i : i + 1], labels[i : i + 1], 2) for i in range(2))
        >>> (one + other).count
        tensor([2., 2.], dtype=torch.float64)
    """

    count: Tensor
    sum: Tensor
    outer: Tensor

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, classes: int) -> "ClassStatistics":
        """The statistics of images.

        Args:
            features: (n, k, d).
            labels: (n,).
            classes: N.
        """
        _, views, size = features.shape
        features = features.double()
        total = features.new_zeros(classes, size).index_add_(0, labels, features.sum(dim=1))
        rows = features.flatten(0, 1)  # (n·k, d)
        return cls(views * torch.bincount(labels, minlength=classes).double(), total, rows.T @ rows)

    def __add__(self, other: "ClassStatistics") -> "ClassStatistics":
        """The statistics of the images of both; they have the same classes."""
        return ClassStatistics(self.count + other.count, self.sum + other.sum, self.outer + other.outer)

    def placed(self, places: Tensor, classes: int) -> "ClassStatistics":
        """The same in another class list, to be added to what is known of that.

        Args:
            places: of the classes in the other list, (N,).
            classes: how many there are in the other list.
        """
        count = self.count.new_zeros(classes).index_copy_(0, places, self.count)
        total = self.sum.new_zeros(classes, self.sum.shape[1]).index_copy_(0, places, self.sum)
        return ClassStatistics(count, total, self.outer)

    @property
    def means(self) -> Tensor:
        """μ; zeros for a class without features. Shape: (N, d)"""
        return self.sum / self.count.clamp(min=1)[:, None]

    @property
    def scatter(self) -> Tensor:
        """S, within classes. Shape: (d, d)"""
        return self.outer - self.sum.T @ self.means


def head(statistics: ClassStatistics, shrinkage: float | None) -> tuple[Tensor, Tensor]:
    """The linear classifier: scores are `features @ weight.T + bias`.

    Args:
        statistics: of the training features.
        shrinkage: ρ, above 0; None: the published precision.

    Returns:
        weight (N, d) and bias (N,); a class without features has zeros and −inf.
    """
    scatter, means = statistics.scatter, statistics.means
    present = statistics.count > 0
    factor, ridge = _precision(
        *(statistics.count.sum(), present.sum(), scatter.trace(), statistics.outer.trace()),
        *(len(scatter), shrinkage),
    )
    identity = torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device)
    weight = factor * torch.linalg.solve(scatter + ridge * identity, means.T).T  # (N, d)
    bias = -math.log(len(means)) - 0.5 * (weight * means).sum(dim=1)
    return weight, bias.where(present, -torch.inf)


def _precision(
    features: Tensor, classes: Tensor, trace: Tensor, moment: Tensor, size: int, shrinkage: float | None
) -> tuple[Tensor, Tensor]:
    """f and ε of the precision f (S + ε I)⁻¹.

    Args:
        features: n.
        classes: of which there are features.
        trace: tr(S).
        moment: trace of the second moment, by which is told what is rounding in tr(S).
        size: d.
        shrinkage: ρ, or None.
    """
    if shrinkage is None:
        factor, ridge = torch.full_like(trace, size), trace / (features - 1).clamp(min=1)
    else:
        factor, ridge = (features - classes).clamp(min=1), shrinkage * trace / size
    scattered = trace > NO_SCATTER * moment
    return factor.where(scattered, 1.0), ridge.where(scattered, 1.0)


class LeaveOneOut:
    """Scores of training images by the head that all others give: exact, without fitting again.

    Args:
        statistics: of these images, and of any others, which need not be at hand.
        features: (n, k, d).
        labels: (n,).
    """

    def __init__(self, statistics: ClassStatistics, features: Tensor, labels: Tensor) -> None:
        scatter = statistics.scatter
        values, vectors = torch.linalg.eigh(scatter)
        self._statistics, self._labels = statistics, labels
        self._trace, self._moment = scatter.trace(), statistics.outer.trace()
        # From here on in the eigenvectors of S.
        self._values = values.clamp(min=0)  # (d,)
        self._means = statistics.means @ vectors  # (N, d)
        self._features = features.double() @ vectors  # (n, k, d)

    def scores(self, shrinkage: float | None) -> Tensor:
        """The scores of each image's views. Shape: (n, k, N), fp32

        The class of an image that is the only one of its class has no mean without it: its score is −inf.

        Args:
            shrinkage: see `head`.
        """
        _, views, _ = self._features.shape
        images = max(1, SCORES_AT_ONCE // (views * len(self._means)))
        return torch.cat([self._scores(part, shrinkage).float() for part in self._parts(images)])

    def _parts(self, images: int) -> Iterator[slice]:
        for start in range(0, len(self._features), images):
            yield slice(start, start + images)

    def _scores(self, part: slice, shrinkage: float | None) -> Tensor:
        """Of some images. Shape: (n, k, N)"""
        labels, features, means = self._labels[part], self._features[part], self._means
        images, views, size = features.shape
        every = torch.arange(images, device=labels.device)
        count = self._statistics.count[labels]  # (n,)
        rest = count - views  # m
        alone = rest <= 0
        share = torch.where(alone, 0.0, 1 / rest.clamp(min=1))  # 1/m

        residuals = features - means[labels][:, None]  # R: (n, k, d)
        total = residuals.sum(dim=1)  # Rᵀ1: (n, d)
        factor, ridge = _precision(
            self._statistics.count.sum() - views,
            (self._statistics.count > 0).sum() - alone.double(),
            self._trace - residuals.square().sum(dim=(1, 2)) - share * total.square().sum(dim=1),
            self._moment,
            *(size, shrinkage),
        )
        inverse = 1 / (self._values + ridge[:, None])  # A⁻¹: (n, d), diagonal
        scaled = residuals * inverse[:, None]  # R A⁻¹: (n, k, d)

        # Products with A⁻¹; the own class's mean becomes that of the other images.
        between = scaled @ residuals.mT  # R A⁻¹ Rᵀ: (n, k, k)
        to_means = scaled @ means.T  # R A⁻¹ μᵀ: (n, k, N)
        to_own = to_means[every, :, labels]  # R A⁻¹ μ_c: (n, k)
        of_features = to_means + ((means[labels] * inverse) @ means.T)[:, None]  # X A⁻¹ μᵀ: (n, k, N)
        to_residuals = between + to_own[:, None]  # X A⁻¹ Rᵀ: (n, k, k)
        lengths = inverse @ means.square().T  # μᵀ A⁻¹ μ: (n, N)
        of_features[every, :, labels] -= share[:, None] * to_residuals.sum(dim=2)
        to_means[every, :, labels] -= share[:, None] * between.sum(dim=2)
        lengths[every, labels] += -2 * share * to_own.sum(dim=1) + share.square() * between.sum(dim=(1, 2))

        # The k views' part of S taken out.
        identity = torch.eye(views, dtype=inverse.dtype, device=inverse.device)
        ones = torch.where(alone, 0.0, 1 / count)[:, None, None]
        taken = torch.linalg.solve(identity - ones - between, to_means)  # (n, k, N)
        of_features += to_residuals @ taken
        lengths += (to_means * taken).sum(dim=1)
        scores = factor[:, None, None] * (of_features - 0.5 * lengths[:, None]) - math.log(len(means))
        scores[every[alone], :, labels[alone]] = -torch.inf
        return scores.masked_fill((self._statistics.count == 0), -torch.inf)


def scale_of_least_loss(scores: Tensor, targets: Tensor, largest: float = math.inf) -> tuple[float, float]:
    """The scale, of `SCALES` up to the largest, that gives scores (m, N) the least log-loss, and that loss."""
    losses = {scale: F.cross_entropy(scale * scores, targets).item() for scale in SCALES if scale <= largest}
    best = min(losses, key=losses.__getitem__)
    return best, losses[best]


def of_least_loss(leave_one_out: LeaveOneOut, paired: Tensor, labels: Tensor) -> tuple[float, float]:
    """ρ and β of the least log-loss of left-out images.

    Args:
        leave_one_out: of the training images.
        paired: whether an image's class has another one, (n,).
        labels: (n,).
    """
    found = {}
    for shrinkage in SHRINKAGES:
        scores = leave_one_out.scores(shrinkage)[paired]  # (n', k, N)
        targets = labels[paired].repeat_interleave(scores.shape[1])
        found[shrinkage] = scale_of_least_loss(scores.flatten(0, 1), targets)
    best = min(found, key=lambda shrinkage: found[shrinkage][1])
    return best, found[best][0]
