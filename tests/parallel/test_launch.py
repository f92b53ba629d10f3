"""What a process learns from its environment."""

import os
from typing import Any

import pytest
import torch

from lamm.errors import ConfigError
from lamm.parallel.ranks import Launch, launch_of, peer_timeout, take_device

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
        ({"LOCAL_RANK": "one"}, 'LOCAL_RANK is "one", which is no number'),
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
