"""`lamm.sweep.pools`: runs at once on this machine, and on a small Ray with a GPU that Ray only counts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import pytest

from lamm.errors import ConfigError
from lamm.sweep.pools import Pool, local_pool, ray_at, ray_here, ray_pool
from lamm.sweep.worker import Outcome
from tests.sweep.toy_runs import TOY, is_alive, needs_proc, output, pids_of, toy_log, toy_words, wait_until
from tests.train_command import ROOT


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    pytest.importorskip("ray", reason="Ray is not installed (extra [sweep])")
    with ray_here(cpus=2, gpus=1):
        yield


def submit(pool: Pool, folder: Path, *do: str) -> Future[Outcome]:
    executor, carry_out = pool
    return executor.submit(carry_out, toy_words(folder, *do), toy_log(folder))


def test_every_run_is_carried_out_and_failures_stay_their_own(tmp_path: Path) -> None:
    codes = {"finish": 0, "mistake": 2, "die": -9, "crash": 1}
    with local_pool(TOY, threads=1, jobs=2) as pool:
        futures = {deed: submit(pool, tmp_path / deed, deed) for deed in codes}
        assert {deed: future.result(timeout=120).code for deed, future in futures.items()} == codes


@pytest.mark.parametrize(("visible", "expected"), [("4,7", {"4", "7"}), ("", {"0", "1"})])
def test_runs_take_the_gpus_in_turn(
    visible: str, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with local_pool(TOY, threads=1, jobs=2, gpus=2) as pool:
        wait([submit(pool, tmp_path / str(number), "sleep", "0.5") for number in range(2)])
    lines = [line for number in range(2) for line in output(tmp_path / str(number)).splitlines()]
    assert {line.split()[1].rstrip(",") for line in lines if line.startswith("GPU")} == expected


@needs_proc
def test_leaving_the_pool_ends_what_runs_and_begins_nothing(tmp_path: Path) -> None:
    with local_pool(TOY, threads=1, jobs=1) as pool:
        submit(pool, tmp_path / "running", "sleep", "60")
        waiting = submit(pool, tmp_path / "waiting")
        pids = pids_of(tmp_path / "running")[:2]
    wait_until(lambda: not any(map(is_alive, pids)))
    assert waiting.cancelled() or waiting.result().code != 0
    assert not (tmp_path / "waiting").exists()


def most_at_once(pool: Pool, folder: Path) -> int:
    futures = [submit(pool, folder / str(number), "sleep", "1.5") for number in range(2)]
    most = 0
    while not all(future.done() for future in futures):
        wait(futures, timeout=0.1)
        most = max(most, sum(future.running() for future in futures))
    assert [future.result().code for future in futures] == [0, 0]
    return most


def test_runs_share_a_gpu_of_ray_if_both_fit(ray: None, tmp_path: Path) -> None:
    for share, expected in ((0.5, 2), (0.51, 1)):
        with ray_pool(TOY, 1, share) as pool:
            assert most_at_once(pool, tmp_path / str(share)) == expected
    assert "GPU 0" in output(tmp_path / "0.5" / "0")


@needs_proc
def test_a_run_that_ray_loses_was_killed(ray: None, tmp_path: Path) -> None:
    with ray_pool(TOY, threads=1) as pool:
        future = submit(pool, tmp_path, "sleep", "60")
        *pids, server = pids_of(tmp_path)
        worker = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(worker, signal.SIGKILL)
        outcome = future.result(timeout=60)
    assert outcome.code == -9
    assert outcome.error.startswith("lost by Ray: ")
    wait_until(lambda: not any(map(is_alive, [*pids, server])))


@needs_proc
def test_a_killed_driver_leaves_no_run_behind(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra [sweep])")
    words, log = toy_words(tmp_path, "sleep", "60"), toy_log(tmp_path)
    code = (
        "from lamm.sweep.pools import ray_here, ray_pool\n"
        f"with ray_here(1, 0), ray_pool({TOY!r}, 1) as (executor, carry_out):\n"
        f"    executor.submit(carry_out, {words!r}, {log!r}).result()"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as driver:
        pids = pids_of(tmp_path)
        driver.kill()
    wait_until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize(
    ("address", "message"), [("ray://localhost:1", "HOST:PORT"), ("localhost:1", "nothing answers")]
)
def test_an_address_without_a_cluster_is_a_mistake(address: str, message: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra [sweep])")
    with pytest.raises(ConfigError, match=message), ray_at(address):
        pass
