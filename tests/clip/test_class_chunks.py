"""Prompts in chunks: the numbers of all at once, in memory that does not grow with the classes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lamm.benchmark.measure import PeakMemory
from lamm.clip.shared_prefix import SharedPrefixEncoder
from lamm.clip.text import PlainTextEncoder, encode_in_chunks
from lamm.clip.text_tower import TextTower
from tests.clip.small_clip_models import Sides, assert_agree, random_sides, run

ENCODERS = (PlainTextEncoder, SharedPrefixEncoder)
LENGTHS = [4, 1, 7, 2, 7]
N, GROUPS = len(LENGTHS), 3
ONE_MAKE = pytest.mark.parametrize("text_model", ["open_clip"], indirect=True)


# One prompt; less than a prefix's classes, with a rest; more than these, but not two prefixes'.
@pytest.mark.parametrize("chunk", [1, 2, N + 1])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_chunks_change_no_feature_and_no_gradient(tower: TextTower, encoder: Any, chunk: int) -> None:
    sides = random_sides(tower.width, LENGTHS, groups=1 if chunk == 2 else GROUPS, deep=2)
    assert_agree(run(encoder(tower, chunk), sides), run(encoder(tower), sides), gradients=1e-5)


@ONE_MAKE
@pytest.mark.parametrize("chunk", [N, 2 * N])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_chunks_change_no_feature_without_gradients(tower: TextTower, encoder: Any, chunk: int) -> None:
    sides = random_sides(tower.width, LENGTHS, groups=GROUPS, deep=2)
    with torch.no_grad():
        found, expected = encoder(tower, chunk).encode(*sides), encoder(tower).encode(*sides)
    assert found.shape == (GROUPS, N, tower.embed_dim)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("learned", ["prefix", "labels"])
def test_chunks_give_the_gradient_of_the_one_side_that_is_learned(tower: TextTower, encoder: Any, learned: str) -> None:
    prefix, labels, end, _ = random_sides(tower.width, LENGTHS, groups=GROUPS)
    sides = Sides(prefix.detach(), labels, end) if learned == "labels" else Sides(prefix, labels.detach(), end)
    found = run(encoder(tower, 2), sides)
    assert len(found) == 2
    assert_agree(found, run(encoder(tower), sides), gradients=1e-5)


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
def test_chunks_under_autocast_equal_all_at_once(tower: TextTower, encoder: Any) -> None:
    sides = random_sides(tower.width, [4] * N, groups=GROUPS, deep=2)
    found = []
    for chunk in (0, 2):
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder(tower, chunk).encode(*sides)
        # The backward pass, which encodes each chunk again, runs outside of autocast as a trainer's does.
        found.append((features.detach(), *torch.autograd.grad(features.float().square().sum(), sides.learned)))
    assert found[1][0].dtype == torch.bfloat16
    assert_agree([t.float() for t in found[1]], [t.float() for t in found[0]], features=0.02, gradients=0.02)


class Recorder:
    """A stand-in for an encoder: features (g, n, 1) that name their prefix and class, and how many went in a call."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, labels: Tensor, end: Tensor, prefix: Tensor) -> Tensor:
        self.calls.append((len(prefix), len(labels)))
        assert len(end) == len(labels)
        return prefix[:, None, :1] * 1000 + labels[None, :, 0, :1] + end[None, :, None] / 1000


def numbered(groups: int, classes: int) -> tuple[Sequence[Tensor], Tensor, Tensor]:
    prefix = torch.arange(float(groups))[:, None].requires_grad_()
    labels = torch.arange(float(classes))[:, None, None].requires_grad_()
    return [prefix], labels, torch.arange(classes)


@pytest.mark.parametrize(
    ("groups", "classes", "chunk", "recording"),
    [(1, 5, 1, True), (1, 5, 3, True), (3, 2, 7, True), (4, 5, 7, True), (3, 2, 5, False), (4, 5, 11, False)],
)
def test_no_call_has_more_prompts_than_the_chunk_and_every_feature_is_in_its_place(
    groups: int, classes: int, chunk: int, recording: bool
) -> None:
    record = Recorder()
    with torch.set_grad_enabled(recording):
        features = encode_in_chunks(record, *numbered(groups, classes), chunk)
    assert max(some * many for some, many in record.calls) <= chunk
    assert sum(some * many for some, many in record.calls) == groups * classes
    expected = [[[g * 1000 + n + n / 1000] for n in range(classes)] for g in range(groups)]
    torch.testing.assert_close(features, torch.tensor(expected))


@pytest.mark.parametrize(("chunk", "largest"), [(0, 4), (3, 3), (100, 4)])
def test_without_gradients_a_call_is_bounded_even_where_no_chunk_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, chunk: int, largest: int
) -> None:
    monkeypatch.setattr("lamm.clip.text.EVALUATION_CHUNK", 4)
    record = Recorder()
    with torch.no_grad():
        encode_in_chunks(record, *numbered(2, 9), chunk)
    assert max(many for _, many in record.calls) == largest


def test_the_backward_pass_encodes_each_chunk_once_more() -> None:
    record = Recorder()
    prefixes, labels, end = numbered(1, 7)
    features = encode_in_chunks(lambda *given: record(*given).square(), prefixes, labels, end, 3)
    assert record.calls == [(1, 3), (1, 3), (1, 1)]
    features.sum().backward()
    assert sorted(record.calls) == sorted([(1, 3), (1, 3), (1, 1)] * 2)


def bytes_saved(forward: Callable[[], Tensor]) -> int:
    """Bytes of the distinct storages that a forward pass keeps for its backward pass."""
    sizes: dict[int, int] = {}
    kept = []

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)  # so that no address is given to another storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        features = forward()
    assert features.requires_grad
    return sum(sizes.values())


CHUNK, T = 10, 4
FEW, MANY = 20, 200


def with_classes(tower: TextTower, count: int) -> Sides:
    return random_sides(tower.width, [T] * count, deep=2)


def growth_of_inputs(tower: TextTower) -> int:
    """Bytes of the label sides, fp32, that 200 classes have beyond 20."""
    return (MANY - FEW) * T * tower.width * 4


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_kept_for_the_backward_pass_grows_by_the_inputs_alone(tower: TextTower, encoder: Any) -> None:
    few, many, all_at_once = (
        bytes_saved(lambda count=count, chunk=chunk: encoder(tower, chunk).encode(*with_classes(tower, count)))
        for count, chunk in ((FEW, CHUNK), (MANY, CHUNK), (MANY, 0))
    )
    assert many - few <= 1.2 * growth_of_inputs(tower)
    assert all_at_once > 5 * many


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_peak_of_a_training_step_grows_by_the_inputs_alone(tower: TextTower, encoder: Any) -> None:
    peaks = []
    for count, chunk in ((FEW, CHUNK), (MANY, CHUNK), (FEW, 0), (MANY, 0)):
        sides = with_classes(tower, count)
        with PeakMemory() as memory:
            run(encoder(tower, chunk), sides)
        peaks.append(memory.peak)
    few, many, few_at_once, many_at_once = peaks
    # Label sides, with their positions, their gradient and its parts, features and their gradient: a few copies.
    assert many - few <= 6 * growth_of_inputs(tower)
    assert many_at_once - few_at_once > 5 * (many - few)
