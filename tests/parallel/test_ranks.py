"""A process's place among others, its share, and gradients as one process would have them, in double precision.

Letters: B images, N classes, E embedding size.
"""

import itertools
import os
from typing import Any

import pytest
import torch
from torch import Tensor

from lamm.clip.shared_prefix import SharedPrefixEncoder
from lamm.clip.text import Chunks
from lamm.clip.text_tower import text_tower_of
from lamm.errors import ConfigError
from lamm.parallel.ranks import Launch, Ranks, launch_of, peer_timeout, take_device
from lamm.parallel.sharing import SharedOutTextEncoder, average_gradients, encoded_share, gather_shares
from tests.clip.small_clip_models import open_clip_model, random_sides
from tests.parallel.processes import gathered

TORCHRUN = {
    **{"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"},
    **{"MASTER_ADDR": "node0", "MASTER_PORT": "29500"},
}


def test_torchrun_tells_a_process_its_place() -> None:
    assert launch_of(TORCHRUN) == Launch(rank=5, size=8, local_rank=1, local_size=4)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "4"}, {"RANK": "0"}, {**TORCHRUN, "WORLD_SIZE": "1"}])
def test_a_process_that_is_told_nothing_or_is_the_only_one_is_on_its_own(environment: dict[str, str]) -> None:
    assert launch_of(environment) is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"MASTER_PORT": None}, "RANK and WORLD_SIZE are set, but not MASTER_PORT: start the run with torchrun"),
        ({"RANK": "8"}, "RANK is 8 of WORLD_SIZE 8"),
        ({"LOCAL_RANK": "one"}, 'LOCAL_RANK is "one", which is not a number'),
    ],
)
def test_half_a_place_is_refused(changed: dict[str, Any], told: str) -> None:
    environment = {name: value for name, value in {**TORCHRUN, **changed}.items() if value is not None}
    with pytest.raises(ConfigError, match=told):
        launch_of(environment)


def test_the_wait_for_others_is_ten_minutes_or_what_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMM_PEER_TIMEOUT", raising=False)
    assert peer_timeout() == 600
    monkeypatch.setenv("LAMM_PEER_TIMEOUT", "1.5")
    assert peer_timeout() == 1.5
    for text in ("0", "-1", "inf", "soon"):
        monkeypatch.setenv("LAMM_PEER_TIMEOUT", text)
        with pytest.raises(ConfigError, match=f'LAMM_PEER_TIMEOUT is "{text}", but must be seconds'):
            peer_timeout()


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert take_device(use_cuda=True) == "8 processes, a GPU each (NCCL)"
    assert taken == [1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="4 processes on a machine with 2 GPUs: start --nproc_per_node 2, or set"):
        take_device(use_cuda=True)


@pytest.mark.parametrize(("chosen", "threads"), [("1", 3), (None, 3), ("2", 0)])
def test_processes_on_a_cpu_share_its_cores_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, threads: int
) -> None:
    set_to = [0]
    for name, value in {**TORCHRUN, "OMP_NUM_THREADS": chosen}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr("lamm.parallel.ranks.usable_cores", lambda: 13)
    assert take_device(use_cuda=False).startswith("8 processes on the CPU (gloo), threads each: ")
    assert set_to[-1] == threads


def test_a_process_on_its_own_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    assert take_device(use_cuda=True) == ""
    assert (torch.get_num_threads(), "RANK" in os.environ) == (before, False)


WIDTH, SIZE = 6, 5


def parameters() -> list[torch.nn.Parameter]:
    """Of the image side, of the text side, and of what couples the two."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(WIDTH, SIZE), (WIDTH, SIZE), (SIZE, WIDTH)]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def loss_of(learned: list[torch.nn.Parameter], images: int, classes: int, ranks: Ranks) -> Tensor:
    """A loss as the trainers' are: features of both sides, those of the text made from the image's, and a regulariser.

    Every part that a process computes of its share alone goes through a `tanh`, so that a wrong factor shows.
    """
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(images, WIDTH, generator=generator, dtype=torch.float64)
    names = torch.randn(classes, WIDTH, generator=generator, dtype=torch.float64)
    of_image, of_text, coupling = learned
    own, mine = encoded_share(ranks, images), encoded_share(ranks, classes)
    image = gather_shares(torch.tanh(pixels[own.start : own.stop] @ of_image), images, ranks)
    context = torch.tanh(image @ coupling)
    text = torch.tanh((context[:, None] + names[None, mine.start : mine.stop]) @ of_text)
    text = gather_shares(text, classes, ranks, dim=1)
    logits = torch.einsum("be,bne->bn", image, text)
    return logits.logsumexp(dim=1).mean() + 0.3 * of_text.square().sum() + 0.1 * coupling.pow(3).sum()


@pytest.mark.parametrize(("size", "images", "classes"), [(2, 4, 6), (2, 5, 3), (3, 7, 2), (3, 1, 1)])
def test_gradients_equal_those_of_one_process(size: int, images: int, classes: int) -> None:
    alone = parameters()
    expected = loss_of(alone, images, classes, Ranks())
    expected.backward()

    def work(ranks: Ranks) -> list[list[float]]:
        learned = parameters()
        loss = loss_of(learned, images, classes, ranks)
        loss.backward()
        average_gradients(learned, ranks)
        gradients = torch.cat([value.grad.flatten() for value in learned if value.grad is not None])
        return [[loss.item()], gradients.tolist()]

    reference = torch.cat([value.grad.flatten() for value in alone if value.grad is not None])
    for (loss,), gradients in gathered(work, size):
        assert loss == pytest.approx(expected.item(), rel=1e-13)
        torch.testing.assert_close(torch.tensor(gradients, dtype=torch.float64), reference, rtol=1e-12, atol=1e-13)


def test_classes_that_are_shared_out_are_encoded_in_chunks_and_again_where_memory_lacks() -> None:
    tower = text_tower_of(open_clip_model(vocabulary=2), "small").requires_grad_(False)

    def work(ranks: Ranks, memory: float = 1e-9) -> tuple[list[int], list[Any], list[Any]]:
        encoder, calls = SharedPrefixEncoder(tower), []
        run = encoder._run_labels
        encoder._run_labels = lambda labels, *rest: (calls.append(len(labels)), run(labels, *rest))[1]
        shared_out = SharedOutTextEncoder(encoder, ranks)
        shared_out.chunks = Chunks(2, memory)
        sides = random_sides(tower.width, [3, 1, 2, 2, 1, 3])
        features = shared_out.encode(*sides)
        features.square().sum().backward()
        average_gradients(sides.learned, ranks)
        return calls, features.tolist(), sides.learned[-1].grad.tolist()

    _, *expected = work(Ranks(), 1000)
    for calls, *found in gathered(work, 2):
        # One prompt and one chunk are measured; two chunks forward, again in the backward pass, the last one first.
        assert calls == [1, 2, 2, 1, 1, 2]
        for one, other in zip(found, expected, strict=True):  # gradients go up to 30
            torch.testing.assert_close(torch.tensor(one), torch.tensor(other), rtol=1e-4, atol=1e-4)


def test_a_process_on_its_own_keeps_its_tensors() -> None:
    features = torch.randn(3, 4, requires_grad=True)
    assert gather_shares(features, 3, Ranks()) is features


def test_shares_are_contiguous_whole_and_even() -> None:
    for count, size in itertools.product((0, 1, 2, 3, 7, 100), (1, 2, 3, 5)):
        shares = [Ranks(rank, size).share(count) for rank in range(size)]
        assert [place for share in shares for place in share] == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert max(map(len, shares)) == -(-count // size)


def test_a_process_without_a_share_encodes_one_thing_all_the_same() -> None:
    assert encoded_share(Ranks(0, 2), 1) == range(1)
    assert encoded_share(Ranks(1, 2), 1) == range(1)
    assert [list(encoded_share(Ranks(rank, 2), 5)) for rank in range(2)] == [[0, 1], [2, 3, 4]]


def test_values_of_the_first_process_reach_the_others_and_differences_are_noticed() -> None:
    def work(ranks: Ranks) -> list[object]:
        found: list[object] = [ranks.from_first({"from": ranks.rank})]
        tensor = ranks.tensor_from_first(torch.arange(6.0).view(2, 3) if ranks.first else None)
        found.append(tensor.tolist())
        ranks.require_same("the weather", "fine", "wait")
        try:
            ranks.require_same("the weather", ranks.rank, "wait")
        except Exception as error:
            found.append(str(error))
        return found

    told = "the 2 processes of this run differ in the weather: wait"
    assert gathered(work, 2) == [[{"from": 0}, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], told]] * 2
