"""Accuracy, distances and running averages, each against a hand-made number."""

import pytest
import torch

from lamm.engine.embedded.evaluation import compute_accuracy, compute_distance_matrix
from lamm.engine.embedded.log import AverageMeter, MetricMeter

LOGITS = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
LABELS = torch.tensor([0, 1, 2, 2])


def test_accuracy_counts_the_labels_among_the_k_highest():
    first, second, third = compute_accuracy(LOGITS, LABELS, topk=(1, 2, 3))
    assert (first.item(), second.item(), third.item()) == (50.0, 75.0, 100.0)
    assert first.shape == (1,)


def test_accuracy_takes_the_first_of_several_outputs():
    assert compute_accuracy((LOGITS, None), LABELS)[0].item() == 50.0


def test_distances_match_a_loop_over_the_rows():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 3, generator=generator), torch.randn(5, 3, generator=generator)
    squared = torch.stack([torch.stack([((x - y) ** 2).sum() for y in b]) for x in a])
    cosine = torch.stack([torch.stack([1 - x @ y / (x.norm() * y.norm()) for y in b]) for x in a])
    torch.testing.assert_close(compute_distance_matrix(a, b), squared)
    torch.testing.assert_close(compute_distance_matrix(a, b, "cosine"), cosine)


def test_distances_refuse_other_metrics_and_shapes():
    with pytest.raises(ValueError, match="manhattan"):
        compute_distance_matrix(torch.ones(1, 2), torch.ones(1, 2), "manhattan")
    with pytest.raises(ValueError, match="equal width"):
        compute_distance_matrix(torch.ones(1, 2), torch.ones(1, 3))


def test_the_average_weighs_by_count_and_the_exponential_one_starts_at_zero():
    meter, smooth = AverageMeter(), AverageMeter(ema=True)
    for value, count in ((1.0, 1), (4.0, 2)):
        meter.update(value, count)
        smooth.update(torch.tensor(value))
    assert (meter.val, meter.avg, meter.sum, meter.count) == (4.0, 3.0, 9.0, 3)
    assert smooth.avg == pytest.approx(0.9 * 0.1 + 0.4)


def test_meters_print_value_and_mean_with_four_decimals_in_order():
    meter = MetricMeter()
    meter.update({"loss": 1.0, "acc": torch.tensor(50.0)})
    meter.update(None)
    meter.update({"loss": 2.0, "acc": 100.0})
    assert str(meter) == "loss 2.0000 (1.5000) acc 100.0000 (75.0000)"
    with pytest.raises(TypeError, match="dictionary"):
        meter.update(3.0)
