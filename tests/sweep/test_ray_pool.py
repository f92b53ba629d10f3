"""`lamm.sweep.pools` on a small Ray of its own, with a GPU that Ray only counts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamm.errors import ConfigError
from lamm.sweep.machine import Slots
from lamm.sweep.pools import RayPool, ray_at, ray_here
from lamm.sweep.worker import Ended, Started
from tests.sweep.toy_jobs import TOY, has_proc, is_alive, pids_of, said, toy_job, toy_setup, until_ended, wait_until

pytest.importorskip("ray", reason="Ray is not installed (extra [sweep])")
GPU_BYTES = 1000


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    with ray_here(Slots(jobs=2, threads=1), gpus=1):
        yield


def test_runs_end_as_they_do_without_ray(ray: None, tmp_path: Path) -> None:
    pool = RayPool(toy_setup(tmp_path))
    for number, deed in enumerate(["finish", "mistake", "die", "finish"]):
        pool.submit(toy_job(tmp_path / str(number), deed).order(number))
    ends = until_ended(pool, 4)
    assert {number: end.code for number, end in ends.items()} == {0: 0, 1: 2, 2: -9, 3: 0}
    assert ends[1].error == "error: no such thing: take another"


def test_a_run_says_that_it_has_begun_before_it_ends(ray: None, tmp_path: Path) -> None:
    pool = RayPool(toy_setup(tmp_path))
    pool.submit(toy_job(tmp_path).order(5))
    events = [event for _ in range(30) if (event := pool.next_event(1.0)) is not None][:2]
    assert [(type(event), event.number) for event in events] == [(Started, 5), (Ended, 5)]


@pytest.mark.parametrize(("memory", "together"), [(500.0, True), (501.0, False)])
def test_runs_share_a_gpu_if_both_fit(memory: float, together: bool, ray: None, tmp_path: Path) -> None:
    pool = RayPool(toy_setup(tmp_path), GPU_BYTES)
    for number in range(2):
        pool.submit(toy_job(tmp_path / str(number), "sleep", "1", memory=memory).order(number))
    running, most = 0, 0
    while running or not most:
        event = pool.next_event(1.0)
        running += isinstance(event, Started) - isinstance(event, Ended)
        most = max(most, running)
    until_ended(pool, 1 if most == 1 else 0)
    assert (most == 2) is together
    assert "GPU 0" in said(tmp_path / "0")


@pytest.mark.skipif(not has_proc(), reason="looks processes up in /proc")
def test_a_run_that_ray_loses_was_killed(ray: None, tmp_path: Path) -> None:
    pool = RayPool(toy_setup(tmp_path))
    pool.submit(toy_job(tmp_path, "sleep", "60").order(3))
    *pids, warm = pids_of(tmp_path)
    worker = int(Path(f"/proc/{warm}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(worker, signal.SIGKILL)
    end = until_ended(pool, 1)[3]
    assert end.code == -9
    assert end.error.startswith("lost by Ray: ")
    wait_until(lambda: not any(map(is_alive, [*pids, warm])))


@pytest.mark.skipif(not has_proc(), reason="looks processes up in /proc")
def test_a_killed_driver_leaves_no_run_behind(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(TOY).parent)!r})\n"
        "from pathlib import Path; from toy_jobs import *; from lamm.sweep.pools import ray_here\n"
        "from lamm.sweep.pools import RayPool; from lamm.sweep.machine import Slots\n"
        f"here = Path({str(tmp_path)!r})\n"
        "with ray_here(Slots(1, 1), 0):\n"
        "    pool = RayPool(toy_setup(here)); pool.submit(toy_job(here, 'sleep', '60').order(0)); until_ended(pool, 1)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as driver:
        pids = pids_of(tmp_path)
        driver.kill()
    wait_until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("somewhere", "must be HOST:PORT"),
        ("ray://localhost:1", "must be HOST:PORT"),
        ("localhost:1", "nothing answers"),
    ],
)
def test_an_address_without_a_cluster_is_a_mistake(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message), ray_at(address):
        pass
