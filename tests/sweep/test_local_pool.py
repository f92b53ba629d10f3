"""`lamm.sweep.pools`: runs at once, in order, without Ray."""

import time
from pathlib import Path

import pytest

from lamm.sweep.pools import LocalPool
from tests.sweep.toy_jobs import has_proc, is_alive, pids_of, said, toy_job, toy_setup, until_ended, wait_until


def test_every_run_is_carried_out_and_failures_stay_their_own(tmp_path: Path) -> None:
    deeds = ["finish", "mistake", "die", "finish"]
    with LocalPool(toy_setup(tmp_path), jobs=2) as pool:
        for number, deed in enumerate(deeds):
            pool.submit(toy_job(tmp_path / str(number), deed).order(number))
        ends = until_ended(pool, 4)
    assert {number: end.code for number, end in ends.items()} == {0: 0, 1: 2, 2: -9, 3: 0}


def test_slots_take_the_gpus_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with LocalPool(toy_setup(tmp_path), jobs=2, gpus=2) as pool:
        for number in range(2):
            pool.submit(toy_job(tmp_path / str(number), "sleep", "0.7").order(number))
        until_ended(pool, 2)
    gpus = {line for number in range(2) for line in said(tmp_path / str(number)).splitlines() if "GPU" in line}
    assert {line.split(",")[0] for line in gpus} == {"GPU 4", "GPU 7"}


@pytest.mark.skipif(not has_proc(), reason="looks processes up in /proc")
def test_leaving_the_pool_ends_what_runs_and_begins_nothing(tmp_path: Path) -> None:
    with LocalPool(toy_setup(tmp_path), jobs=1) as pool:
        pool.submit(toy_job(tmp_path / "running", "sleep", "60").order(0))
        pool.submit(toy_job(tmp_path / "waiting").order(1))
        pids = pids_of(tmp_path / "running")
    wait_until(lambda: not any(map(is_alive, pids)))
    assert not (tmp_path / "waiting").exists()


def test_nothing_happening_is_none(tmp_path: Path) -> None:
    with LocalPool(toy_setup(tmp_path), jobs=1) as pool:
        began = time.monotonic()
        assert pool.next_event(0.05) is None
        assert time.monotonic() - began < 5
