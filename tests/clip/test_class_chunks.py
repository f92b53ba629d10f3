"""Prompts in chunks: the numbers of all at once, in memory that has a bound."""

import copy
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from lamm.benchmark.measure import PeakMemory
from lamm.clip.shared_prefix import SharedPrefixEncoder
from lamm.clip.text import MIB, TRAINING_CHUNK, Chunks, PlainTextEncoder, bytes_per_prompt
from lamm.clip.text_tower import TextTower
from lamm.parallel.ranks import Ranks
from tests.clip.small_clip_models import Sides, assert_agree, random_sides, run

ENCODERS = (PlainTextEncoder, SharedPrefixEncoder)
LENGTHS = [4, 1, 7, 2, 7]
N, GROUPS = len(LENGTHS), 3
NOTHING = 1e-9
"""MiB that no prompt fits."""
ONE_MAKE = pytest.mark.parametrize("text_model", ["open_clip"], indirect=True)


# One prompt; less than a prefix's classes, with a rest; more than these, but not two prefixes'.
@pytest.mark.parametrize("chunk", [1, 2, N + 1])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_chunks_change_no_feature_and_no_gradient(tower: TextTower, encoder: Any, chunk: int) -> None:
    sides = random_sides(tower.width, LENGTHS, groups=1 if chunk == 2 else GROUPS, deep=2)
    assert_agree(run(encoder(tower, Chunks(chunk, NOTHING)), sides), run(encoder(tower), sides), gradients=1e-5)


@ONE_MAKE
@pytest.mark.parametrize("chunk", [N, 2 * N])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_chunks_change_no_feature_without_gradients(tower: TextTower, encoder: Any, chunk: int) -> None:
    sides = random_sides(tower.width, LENGTHS, groups=GROUPS, deep=2)
    with torch.no_grad():
        found, expected = encoder(tower, Chunks(chunk)).encode(*sides), encoder(tower).encode(*sides)
    assert found.shape == (GROUPS, N, tower.embed_dim)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("learned", ["prefix", "labels"])
def test_chunks_give_the_gradient_of_the_one_side_that_is_learned(tower: TextTower, encoder: Any, learned: str) -> None:
    prefix, labels, end, _ = random_sides(tower.width, LENGTHS, groups=GROUPS)
    sides = Sides(prefix.detach(), labels, end) if learned == "labels" else Sides(prefix, labels.detach(), end)
    found = run(encoder(tower, Chunks(2, NOTHING)), sides)
    assert len(found) == 2
    assert_agree(found, run(encoder(tower), sides), gradients=1e-5)


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
def test_chunks_under_autocast_equal_all_at_once(tower: TextTower, encoder: Any) -> None:
    sides = random_sides(tower.width, [4] * N, groups=GROUPS, deep=2)
    found = []
    for chunk in (0, 2):
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder(tower, Chunks(chunk, NOTHING)).encode(*sides)
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
    record, chunks = Recorder(), Chunks(chunk)
    chunks._fitting = 0
    with torch.set_grad_enabled(recording):
        features = chunks.encode(record, *numbered(groups, classes))
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
        Chunks(chunk).encode(record, *numbered(2, 9))
    assert max(many for _, many in record.calls) == largest


PER_PROMPT = 4  # bytes that `Squares` keeps of a prompt
MEASURED = [(1, 1), (1, 3)]  # the calls with a prompt and with a chunk that find it out


class Squares(Recorder):
    def __call__(self, labels: Tensor, end: Tensor, prefix: Tensor) -> Tensor:
        return super().__call__(labels, end, prefix).square()


@pytest.mark.parametrize(
    ("prompts", "again"),  # that fit; what the backward pass encodes once more
    [(0.9, [(1, 3), (1, 3), (1, 1)]), (1, [(1, 3), (1, 3)]), (3, [(1, 3), (1, 3)]), (4, [(1, 3)]), (7, [])],
)
def test_the_backward_pass_encodes_those_chunks_once_more_that_do_not_fit(
    prompts: float, again: list[tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    record, chunks = Squares(), Chunks(3, PER_PROMPT * prompts / MIB)
    with caplog.at_level(logging.INFO):
        for extra in (MEASURED, []):  # measured once
            record.calls.clear()
            features = chunks.encode(record, *numbered(1, 7))
            assert record.calls == [*extra, (1, 3), (1, 3), (1, 1)]
            record.calls.clear()
            features.sum().backward()
            assert sorted(record.calls) == sorted(again)
    kept = 7 - sum(many for _, many in again)
    told = f"Text side: {kept} of 7 prompts are kept for the backward pass, the others encoded twice"
    assert [told in line for line in caplog.messages] == [True] * bool(again)


@pytest.mark.parametrize(
    ("device", "classes", "memory", "calls"),
    [
        ("cpu", 3, NOTHING, [(1, 3)]),
        ("cpu", 7, 7 * PER_PROMPT / MIB, [*MEASURED, (1, 3), (1, 3), (1, 1)]),
        ("meta", 7, 7 * PER_PROMPT / MIB, [*MEASURED, (1, 7)]),
    ],
)
def test_without_a_size_a_few_prompts_are_not_even_measured_and_more_encoded_at_once_but_on_a_cpu(
    device: str, classes: int, memory: float, calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamm.clip.text.TRAINING_CHUNK", 3)
    record = Squares()
    prefixes, labels, end = numbered(1, classes)
    Chunks(0, memory).encode(record, [prefix.to(device) for prefix in prefixes], labels.to(device), end.to(device))
    assert record.calls == calls


@pytest.mark.parametrize(("processes", "again"), [(1, 0), (2, 2)])
def test_by_default_half_of_the_free_memory_is_shared_by_the_processes(
    processes: int, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamm.clip.text.free_bytes", lambda device: 2 * 7 * PER_PROMPT)
    monkeypatch.setattr("lamm.clip.text.current_ranks", lambda: Ranks(0, processes, processes))
    record = Squares()
    features = Chunks(3).encode(record, *numbered(1, 7))
    record.calls.clear()
    features.sum().backward()
    assert len(record.calls) == again


def test_where_nothing_is_learned_everything_fits() -> None:
    record, (prefixes, labels, end) = Squares(), numbered(1, 7)
    assert not Chunks(3, NOTHING).encode(record, [prefixes[0].detach()], labels.detach(), end).requires_grad
    assert record.calls == [*MEASURED, (1, 3), (1, 3), (1, 1)]


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


@ONE_MAKE
@pytest.mark.parametrize("fitting", [N - 1, N * GROUPS, 10 * N])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_kept_changes_no_feature_and_no_gradient(tower: TextTower, encoder: Any, fitting: float) -> None:
    sides = random_sides(tower.width, LENGTHS, groups=GROUPS)
    found = []
    for prompts in (0.5, fitting):
        chunks = Chunks(2)
        chunks._fitting = prompts
        found.append(run(encoder(tower, chunks), sides))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_bytes_of_a_prompt_are_those_that_stay_alive(
    tower: TextTower, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = copy.deepcopy(tower).requires_grad_(False)
    sides = random_sides(tower.width, [4] * (TRAINING_CHUNK + 1))
    parts: list[Any] = []
    monkeypatch.setattr("lamm.clip.text.bytes_per_prompt", lambda *given: len(parts.extend(given) or given))
    encoder(tower).encode(*sides)
    with PeakMemory() as memory:
        features = parts[0](*parts[1:])
        alive = memory.held
        measured = bytes_per_prompt(*parts)
        assert memory.held == alive  # what was measured is freed
    kept = alive - features.numel() * features.element_size()
    # Tables that are made once for a packing are saved, too, or stay alive without it.
    assert measured == pytest.approx(kept / features[..., 0].numel(), rel=0.02)


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
        bytes_saved(partial(encoder(tower, Chunks(chunk, NOTHING)).encode, *with_classes(tower, count)))
        for count, chunk in ((FEW, CHUNK), (MANY, CHUNK), (MANY, MANY))
    )
    assert many - few <= 1.2 * growth_of_inputs(tower)
    assert all_at_once > 5 * many


@ONE_MAKE
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_peak_of_a_training_step_grows_by_the_inputs_alone(tower: TextTower, encoder: Any) -> None:
    peaks = []
    for count, chunk in ((FEW, CHUNK), (MANY, CHUNK), (FEW, MANY), (MANY, MANY)):
        sides = with_classes(tower, count)
        with PeakMemory() as memory:
            run(encoder(tower, Chunks(chunk, NOTHING)), sides)
        peaks.append(memory.peak)
    few, many, few_at_once, many_at_once = peaks
    # Label sides, with their positions, their gradient and its parts, features and their gradient: a few copies.
    assert many - few <= 6 * growth_of_inputs(tower)
    assert many_at_once - few_at_once > 5 * (many - few)
