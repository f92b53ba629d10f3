"""The discriminant head: its statistics, its equations, and the scores without each image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.gda import ClassStatistics, LeaveOneOut, head
from tests.reference.slow_heads import discriminant, published_precision, shrunk_precision

CLASSES, SIZE = 4, 6
SHRINKAGES = [0.03, 1.0, None]


def images(counts: list[int], views: int) -> tuple[Tensor, Tensor]:
    """Unit features (n, k, d) near their class's centre, and labels, of so many images of each class."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    centres = torch.randn(len(counts), SIZE, generator=generator)[labels]
    features = centres[:, None] + 0.7 * torch.randn(len(labels), views, SIZE, generator=generator)
    return F.normalize(features, dim=-1), labels


def precision(rows: np.ndarray, labels: np.ndarray, shrinkage: float | None) -> np.ndarray:
    return published_precision(rows, labels) if shrinkage is None else shrunk_precision(rows, labels, shrinkage)


def rows_of(features: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """A row a view."""
    return features.double().flatten(0, 1).numpy(), labels.repeat_interleave(features.shape[1]).numpy()


def left_out(features: Tensor, labels: Tensor) -> LeaveOneOut:
    return LeaveOneOut(ClassStatistics.of(features, labels, CLASSES), features, labels)


def assert_equal(one: ClassStatistics, other: ClassStatistics) -> None:
    for name in ("count", "sum", "outer"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
def test_the_head_is_that_of_the_equations(shrinkage: float | None) -> None:
    features, labels = images([3, 2, 4, 2], views=2)
    weight, bias = head(ClassStatistics.of(features, labels, CLASSES), shrinkage)
    rows, classes = rows_of(features, labels)
    for x in rows[:3]:
        expected = discriminant(rows, classes, CLASSES, precision(rows, classes, shrinkage), x)
        np.testing.assert_allclose((weight.numpy() @ x) + bias.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("shrinkage", SHRINKAGES)
@pytest.mark.parametrize(("counts", "views"), [([3, 1, 2, 4], 3), ([1, 1, 1, 1], 2), ([2, 3, 2, 2], 1)])
def test_scores_without_an_image_are_those_of_a_fit_without_it(
    counts: list[int], views: int, shrinkage: float | None
) -> None:
    features, labels = images(counts, views)
    got = left_out(features, labels).scores(shrinkage)
    for place, label in enumerate(labels.tolist()):
        others = torch.arange(len(labels)) != place
        rows, classes = rows_of(features[others], labels[others])
        inverse = precision(rows, classes, shrinkage)
        expected = [discriminant(rows, classes, CLASSES, inverse, x) for x in features[place].double().numpy()]
        np.testing.assert_allclose(got[place].numpy(), np.array(expected), rtol=1e-6, atol=1e-6)
        assert got[place, :, label].isfinite().all() == (counts[label] > 1)


def test_images_that_are_not_at_hand_count_by_their_statistics() -> None:
    features, labels = images([3, 2, 4, 2], views=2)
    statistics = ClassStatistics.of(features, labels, CLASSES)
    whole = LeaveOneOut(statistics, features, labels).scores(0.1)
    torch.testing.assert_close(LeaveOneOut(statistics, features[4:], labels[4:]).scores(0.1), whole[4:])


def test_scores_are_the_same_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = images([3, 1, 2, 4], views=2)
    whole = left_out(features, labels).scores(0.1)
    monkeypatch.setattr("lamm.gda.SCORES_AT_ONCE", 3 * 2 * CLASSES)
    torch.testing.assert_close(left_out(features, labels).scores(0.1), whole)


def test_statistics_are_sums_in_any_order_and_in_parts() -> None:
    features, labels = images([3, 2, 4, 2], views=2)
    whole = ClassStatistics.of(features, labels, CLASSES)
    assert_equal(ClassStatistics.of(features.flip(0), labels.flip(0), CLASSES), whole)
    parts = [ClassStatistics.of(features[part], labels[part], CLASSES) for part in (slice(0, 4), slice(4, None))]
    assert_equal(parts[0] + parts[1], whole)


def test_classes_learned_one_after_the_other_give_the_head_of_all_at_once() -> None:
    features, labels = images([3, 2, 4, 2], views=2)
    joined = []
    for classes in ([2, 0], [1, 3]):  # of the whole list
        own = torch.isin(labels, torch.tensor(classes))
        place = torch.tensor([classes.index(c) if c in classes else -1 for c in range(CLASSES)])
        statistics = ClassStatistics.of(features[own], place[labels[own]], len(classes))
        joined.append(statistics.placed(torch.tensor(classes), CLASSES))
    weight, bias = head(joined[0] + joined[1], 0.1)
    expected = head(ClassStatistics.of(features, labels, CLASSES), 0.1)
    torch.testing.assert_close((weight, bias), expected)


def test_a_class_without_images_never_wins() -> None:
    features, labels = images([3, 2, 4], views=1)
    weight, bias = head(ClassStatistics.of(features, labels, CLASSES), 0.1)
    assert bias.isneginf().tolist() == [False, False, False, True]
    assert (weight[-1] == 0).all()
    assert left_out(features, labels).scores(0.1)[..., -1].isneginf().all()


def test_without_scatter_the_nearest_mean_wins() -> None:
    features, labels = images([1, 1, 1, 1], views=1)
    weight, bias = head(ClassStatistics.of(features, labels, CLASSES), 0.1)
    torch.testing.assert_close(weight[labels], features[:, 0].double())
    torch.testing.assert_close(bias - bias[0], torch.zeros(CLASSES).double())
