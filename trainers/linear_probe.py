"""Linear probe of CLIP's image features (arXiv:2103.00020): logistic regression, as scikit-learn has it.

    logits = I Wᵀ + b          W, b minimise  ½‖W‖² + C Σ_images −log softmax_y(I Wᵀ + b)

C is that of the least log-loss in cross-validation on the training images: every view of an image is in the same fold.
An image that is the only one of its class is in every training part, since a classifier that has not seen a class says
nothing of it; the other classes' images choose. Where all classes have one image, C is `ONE_IMAGE_C`.

Published by CoOp's authors (`CHOICE val`, arXiv:2109.01134): one view of each image, and C by the accuracy on the
validation images, of seven powers of ten, then by halving the interval around the best (in its logarithm) eight times.
Their features are not of unit length; ours are, which C makes up for but for the differences between images.

Letters: n training images, k views of each, N classes, E embedding size.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamm.clip.model import ClipModel

from .heads import NEVER, Head, HeadTrainer, Images
from .traits import TRAITS

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

FOLDS = 5
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
ONE_IMAGE_C = 100.0
PUBLISHED_STRENGTHS = (1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6)
HALVINGS = 8
ITERATIONS = 1000


class LinearProbeLearner(Head):
    """The linear classifier; the prompts have no part in its scores.

    Attributes:
        weight: W, (N, E).
        bias: b, (N, 1).
        strength: C, (1,).
    """

    weight: Tensor
    bias: Tensor
    strength: Tensor

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__(clip, class_names, templates)
        classes = len(class_names)
        for name, shape in {"weight": (classes, clip.embed_dim), "bias": (classes, 1), "strength": (1,)}.items():
            self.register_buffer(name, torch.zeros(shape))

    def fit(self, features: Tensor, labels: Tensor, val: Images | None = None) -> None:
        """See `Head.fit`."""
        images, classes = features.double().cpu().numpy(), labels.cpu().numpy()
        strength = by_folds(images, classes) if val is None else by_images(images, classes, val)
        fitted = regression(images, classes, strength)
        weight, bias = fitted.coef_, fitted.intercept_
        if len(fitted.classes_) == 2:  # one row, for the second class against the first
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        self.weight.zero_()[fitted.classes_] = torch.from_numpy(weight).to(self.weight)
        self.bias.fill_(NEVER)[fitted.classes_] = torch.from_numpy(bias[:, None]).to(self.bias)
        self.strength.fill_(strength)

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """Logits. Shape: (B, N)"""
        return image.float() @ self.weight.T + self.bias[:, 0]

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """See `Prompts.exported`."""
        tensors = {"head_weight": self.weight, "head_bias": self.bias[:, 0]}
        return tensors, "image_features @ head_weight.T + head_bias"

    def chosen(self) -> dict[str, float]:
        """C."""
        return {"C": self.strength.item()}

    def per_class_tensors(self) -> tuple[str, ...]:
        """See `Prompts.per_class_tensors`."""
        return ("weight", "bias")


def regression(
    images: np.ndarray, labels: np.ndarray, strength: float, fitted: "LogisticRegression | None" = None
) -> "LogisticRegression":
    """The classifier of all views.

    Args:
        images: (n, k, E).
        labels: (n,).
        strength: C.
        fitted: with another C to the same images: it is fitted again, from where it stands.
    """
    # Imported here, and below: it takes a second, which no other trainer needs.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    _, views, size = images.shape
    fitted = fitted or LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    fitted.set_params(C=strength)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last of the iterations counts, as in the papers
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # with an image per class
        return fitted.fit(images.reshape(-1, size), labels.repeat(views))


def by_folds(images: np.ndarray, labels: np.ndarray) -> float:
    """C of the least log-loss of images that the classifier has not seen."""
    from sklearn.model_selection import StratifiedKFold

    counts = np.unique(labels, return_inverse=True, return_counts=True)
    of_class = counts[2][counts[1]]  # how many images there are of each image's class
    alone, several = (np.flatnonzero(chosen) for chosen in (of_class < 2, of_class >= 2))
    if not len(several):
        return ONE_IMAGE_C
    folds = StratifiedKFold(min(FOLDS, int(of_class[several].min())), shuffle=True, random_state=0)
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for train, rest in folds.split(several, labels[several]):
        train, rest, fitted = np.concatenate([alone, several[train]]), several[rest], None
        for strength in STRENGTHS:
            fitted = regression(images[train], labels[train], strength, fitted)
            logs = fitted.predict_log_proba(images[rest].reshape(-1, images.shape[2]))  # (rest · k, N)
            places = np.searchsorted(fitted.classes_, labels[rest].repeat(images.shape[1]))
            losses[strength] -= float(logs[np.arange(len(logs)), places].sum())
    return min(losses, key=losses.__getitem__)


def by_images(images: np.ndarray, labels: np.ndarray, val: Images) -> float:
    """C as published, by accuracy on the validation images."""
    features, classes = val.features.double().cpu().numpy(), val.labels.cpu().numpy()

    def accuracy(strength: float) -> float:
        return float(regression(images, labels, strength).score(features, classes))

    best = max(PUBLISHED_STRENGTHS, key=accuracy)  # the first of equals
    left, right = best / 10, best * 10
    for _ in range(HALVINGS):
        scores = accuracy(left), accuracy(right)
        middle = (left * right) ** 0.5
        chosen, left, right = (right, middle, right) if scores[0] < scores[1] else (left, left, middle)
    return chosen


class LinearProbe(HeadTrainer):
    """Trains a `LinearProbeLearner`; config node `TRAINER.LINEARPROBE`."""

    learner_class = LinearProbeLearner
    traits = TRAITS["LinearProbe"]
