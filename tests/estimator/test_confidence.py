"""Temperature, calibration error, and photos that show none of the classes."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lamm.calibration import TEMPERATURES, expected_calibration_error, right_from_wrong, temperature_of
from lamm.estimator.confidence import DEFAULT_SCORE, LeftOut, OutOfClass, confidence_of
from lamm.estimator.labels import Draws
from lamm.gda import ClassStatistics


def drawn(count: int = 400, classes: int = 3, size: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores that are true log-posteriors, labels drawn from them, and features around three centres."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(count, classes, generator=generator) * 2
    labels = torch.multinomial(scores.softmax(dim=1), 1, generator=generator)[:, 0]
    centres = 3 * torch.eye(size)[:classes]
    return scores, labels, centres[labels] + torch.randn(count, size, generator=generator)


def test_a_temperature_undoes_what_made_scores_too_sure() -> None:
    scores, labels, _ = drawn()
    honest, sure = temperature_of(scores, labels), temperature_of(10 * scores, labels)
    assert honest == pytest.approx(1, rel=0.25)
    assert sure == pytest.approx(10 * honest, rel=0.11)
    assert {honest, sure} <= set(TEMPERATURES)


def test_where_all_are_right_the_temperature_stays_near_one() -> None:
    scores = torch.eye(3).repeat(8, 1) * 4
    assert 0.3 < temperature_of(scores, torch.arange(3).repeat(8)) <= 1


def test_the_calibration_error_is_the_distance_of_the_bins() -> None:
    confidence = np.array([0.31, 0.32, 0.9, 0.91, 0.92, 1.0])
    correct = np.array([True, False, True, True, False, True])
    error = 0.0
    for number in range(15):
        inside = (confidence >= number / 15) & ((confidence < (number + 1) / 15) | (number == 14))
        if inside.any():
            error += inside.sum() / 6 * abs(confidence[inside].mean() - correct[inside].mean())
    found = expected_calibration_error(torch.tensor(confidence), torch.tensor(correct))
    assert found == pytest.approx(100 * error)


def test_right_predictions_are_told_from_wrong_ones_as_often_as_they_are_surer() -> None:
    confidence, correct = torch.tensor([0.9, 0.5, 0.5, 0.7, 0.2]), torch.tensor([True, True, False, False, True])
    pairs = [(r, w) for r in confidence[correct].tolist() for w in confidence[~correct].tolist()]
    expected = sum(1.0 if r > w else 0.5 if r == w else 0.0 for r, w in pairs) / len(pairs)
    assert right_from_wrong(confidence, correct) == pytest.approx(100 * expected)
    assert right_from_wrong(confidence, torch.ones(5, dtype=torch.bool)) is None
    assert right_from_wrong(confidence, torch.zeros(5, dtype=torch.bool)) is None


def test_the_auroc_is_that_of_scikit_learn_with_equal_confidences_too() -> None:
    draw = torch.Generator().manual_seed(1)
    confidence = torch.randint(20, (300,), generator=draw) / 20
    correct = torch.rand(300, generator=draw) < confidence
    expected = roc_auc_score(correct.numpy(), confidence.numpy())
    assert right_from_wrong(confidence, correct) == pytest.approx(100 * expected, rel=1e-12)


def test_mahalanobis_is_the_distance_to_the_nearest_class() -> None:
    scores, labels, features = drawn()
    statistics = ClassStatistics.of(features[:, None], labels, 3)
    found = OutOfClass(1.0, statistics).scores["mahalanobis"](scores, features)
    x, y = features.double().numpy(), labels.numpy()
    means = np.array([x[y == c].mean(axis=0) for c in range(3)])
    scatter = sum(np.outer(a - means[c], a - means[c]) for a, c in zip(x, y, strict=True))
    mean = np.trace(scatter) / 8
    shrunk = (scatter / mean + np.eye(8)) / 2
    expected = [min((a - m) @ np.linalg.inv(shrunk) @ (a - m) for m in means) for a in x]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_the_threshold_keeps_what_was_left_out_and_refuses_strangers() -> None:
    scores, labels, features = drawn()
    half = ClassStatistics.of(features[200:, None], labels[200:], 3)
    confidence = confidence_of([LeftOut(scores[:200], labels[:200], features[:200], half)])
    assert confidence.photos == 200
    assert confidence.coverage == pytest.approx(191 / 200)  # of 201, a new one too, 95 %
    sure, guesses = scores[:200].div(confidence.temperature).softmax(dim=1).max(dim=1)
    told = right_from_wrong(sure, guesses == labels[:200])
    assert (confidence.auroc == told) if told is not None else math.isnan(confidence.auroc)
    strange = OutOfClass(confidence.temperature, half).scores[DEFAULT_SCORE](scores, features - 6)
    assert (strange > confidence.threshold).float().mean() > 0.95


def test_scores_that_are_calibrated_already_are_left_as_they_are() -> None:
    scores, labels, features = drawn()
    parts = [LeftOut(10 * scores, labels, features, None)]
    assert confidence_of(parts).temperature != 1
    calibrated = confidence_of(parts, is_calibrated=True)
    assert (calibrated.temperature, calibrated.ece) == (1.0, calibrated.ece_before)


def test_without_left_out_photos_nothing_is_said() -> None:
    confidence = confidence_of([])
    assert (confidence.temperature, confidence.threshold, confidence.photos) == (1.0, math.inf, 0)


def test_draws_have_the_means_and_the_covariance_of_the_statistics() -> None:
    _, labels, features = drawn(3000)
    features = torch.nn.functional.normalize(features + 20, dim=1)  # far from 0: their lengths hardly differ
    statistics = ClassStatistics.of(features[:, None], labels, 3)
    draws = Draws(statistics, views=1)
    assert draws.photos.tolist() == torch.bincount(labels).tolist()
    torch.manual_seed(0)
    some = draws.of(torch.full((20000,), 1))
    own = features[labels == 1]
    pooled = statistics.scatter / (len(labels) - 3)
    np.testing.assert_allclose(some.mean(dim=0), own.mean(dim=0), atol=2e-3)
    np.testing.assert_allclose(torch.cov(some.T.double()).trace(), pooled.trace(), rtol=0.1)
