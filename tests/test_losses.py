"""The hierarchical loss against its slow transcription, closed forms and symmetries."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.losses import feature_loss, logits_loss, parameter_loss
from lamm.scoring import scaled_scores
from tests.reference import hierarchical_loss as reference

B, N, D, E = 5, 4, 6, 7
DIRECTIONS = ("paper", "standard")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def numbers(tensor: Tensor) -> np.ndarray:
    return tensor.double().numpy()


def test_parameter_loss_equals_the_transcription() -> None:
    learned, initial = random(9, D), random(9, D, seed=1)
    expected = reference.parameter_loss(numbers(learned), numbers(initial))
    assert parameter_loss(learned, initial).item() == pytest.approx(expected, rel=1e-6)


def test_parameter_loss_is_a_sum_not_a_mean() -> None:
    learned = torch.full((3, D), 0.5)
    assert parameter_loss(learned, torch.zeros(3, D)).item() == pytest.approx(0.25 * 3 * D)


def test_parameter_loss_pulls_back_with_twice_the_difference() -> None:
    learned, initial = random(3, D).requires_grad_(), random(3, D, seed=1)
    parameter_loss(learned, initial).backward()
    torch.testing.assert_close(learned.grad, 2 * (learned.detach() - initial))


@pytest.mark.parametrize("labels", [None, [0, 2, 2, 1, 3], [3, 3, 3, 3, 0], [1, 1, 1, 1, 1]])
@pytest.mark.parametrize(
    ("learned", "original"),
    [((N, E), (N, E)), ((B, N, E), (B, N, E)), ((B, N, E), (1, N, E))],
    ids=["one prompt set", "prompts per image", "prompts per image, one teacher"],
)
def test_feature_loss_equals_the_transcription(labels: list[int] | None, learned: tuple, original: tuple) -> None:
    z, y = random(*learned), random(*original, seed=1)
    chosen = None if labels is None else torch.tensor(labels)
    expected = reference.feature_loss(numbers(z), numbers(y), None if chosen is None else chosen.numpy())
    assert feature_loss(z, y, chosen).item() == pytest.approx(expected, rel=1e-5)


def test_feature_loss_is_zero_for_equal_one_for_orthogonal_two_for_opposite_features() -> None:
    x = torch.eye(2)
    assert feature_loss(x, 3 * x).item() == pytest.approx(0)
    assert feature_loss(x, x.flip(0)).item() == pytest.approx(1)
    assert feature_loss(x, -x).item() == pytest.approx(2)


def test_a_label_that_occurs_twice_in_the_batch_counts_twice() -> None:
    learned = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    original = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # distances 0 and 1
    assert feature_loss(learned, original, torch.tensor([0, 1, 1, 1])).item() == pytest.approx(0.75)


def test_a_batch_with_one_label_gives_a_zero_that_can_be_differentiated() -> None:
    learned = random(N, E).requires_grad_()
    loss = feature_loss(learned, random(N, E, seed=1), torch.tensor([2, 2, 2]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(learned.grad, torch.zeros(N, E))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_logits_loss_equals_the_transcription(direction: str, temperature: float) -> None:
    s, o = 4 * random(B, N), 4 * random(B, N, seed=1)
    expected = reference.logits_loss(numbers(s), numbers(o), temperature, direction)
    assert logits_loss(s, o, temperature, direction).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_logits_loss_of_equal_flat_scores_is_t_squared_times_the_logarithm_of_n(direction: str) -> None:
    flat = torch.zeros(B, N)
    assert logits_loss(flat, flat, 2.0, direction).item() == pytest.approx(4 * math.log(N))


def test_the_two_directions_are_each_other_with_the_roles_swapped() -> None:
    s, o = random(B, N), random(B, N, seed=1)
    torch.testing.assert_close(logits_loss(s, o, direction="paper"), logits_loss(o, s, direction="standard"))


def test_textbook_distillation_is_the_divergence_plus_the_teachers_entropy() -> None:
    s, o = random(B, N), random(B, N, seed=1)
    log_s, p = F.log_softmax(s / 2, dim=-1), F.softmax(o / 2, dim=-1)
    entropy = -(p * p.log()).sum(dim=-1).mean()
    divergence = F.kl_div(log_s, p, reduction="batchmean")
    torch.testing.assert_close(logits_loss(s, o, 2.0, "standard"), 4 * (divergence + entropy))


def test_logits_loss_defaults_to_the_papers_direction_at_temperature_two() -> None:
    s, o = random(B, N), random(B, N, seed=1)
    assert torch.equal(logits_loss(s, o), logits_loss(s, o, 2.0, "paper"))


def test_logits_of_a_hundred_stay_finite() -> None:
    s = torch.tensor([[100.0, -100.0, 0.0]])
    assert torch.isfinite(logits_loss(s, -s))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gradients_reach_both_logits(direction: str) -> None:
    s, o = random(B, N).requires_grad_(), random(B, N, seed=1).requires_grad_()
    logits_loss(s, o, 2.0, direction).backward()
    assert s.grad.abs().sum() > 0
    assert o.grad.abs().sum() > 0


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match=r'KD_DIRECTION must be one of paper, standard, not "forward"'):
        logits_loss(torch.zeros(1, 2), torch.zeros(1, 2), direction="forward")


def test_losses_of_half_precision_inputs_are_computed_in_full_precision() -> None:
    z, y = random(N, E).half(), random(N, E, seed=1).half()
    for loss in (parameter_loss(z, y), feature_loss(z, y), logits_loss(z, y)):
        assert loss.dtype == torch.float32
    assert feature_loss(z, y).item() == pytest.approx(reference.feature_loss(numbers(z), numbers(y)), rel=1e-5)


@pytest.mark.parametrize("groups", [1, B])
def test_scores_are_cosines_over_the_temperature(groups: int) -> None:
    image, text = F.normalize(random(B, E), dim=-1), F.normalize(random(groups, N, E, seed=1), dim=-1)
    scores = scaled_scores(image, text, torch.tensor(math.log(100.0)))
    for row in range(B):
        for column in range(N):
            own = text[row if groups > 1 else 0, column]
            expected = 100 * reference.cosine(numbers(image[row]), numbers(own))
            assert scores[row, column].item() == pytest.approx(expected, abs=1e-4)
