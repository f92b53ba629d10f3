"""`lamm.sweep.worker` and its client: a run is a process of its own, and dies with whoever asked for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lamm.sweep.worker import Setup, WarmProcess, last_line
from tests.sweep.toy_jobs import TOY, has_proc, is_alive, pids_of, said, toy_job, toy_setup, wait_until

needs_proc = pytest.mark.skipif(not has_proc(), reason="looks processes up in /proc")


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProcess]:
    with WarmProcess(toy_setup(tmp_path_factory.mktemp("cwd"), threads=3)) as process:
        yield process


def test_a_run_that_finishes_ends_with_0_and_its_output_is_in_its_log(warm: WarmProcess, tmp_path: Path) -> None:
    end = warm.carry_out(toy_job(tmp_path).order(7))
    assert (end.number, end.code, end.error) == (7, 0, "")
    assert "threads 3" in said(tmp_path)
    assert f"in {warm.setup.folder}" in said(tmp_path)


def test_runs_are_processes_of_their_own_with_one_parent(warm: WarmProcess, tmp_path: Path) -> None:
    lines = []
    for name in ("a", "b"):
        warm.carry_out(toy_job(tmp_path / name).order(0))
        lines.append(said(tmp_path / name).split())
    (own, parent), (other, same) = ((words[1], words[3]) for words in lines)
    assert own != other
    assert parent == same


@pytest.mark.parametrize(
    ("deed", "code", "error"),
    [
        ("mistake", 2, "error: no such thing: take another"),
        ("crash", 1, "RuntimeError: the loss is not a number"),
        ("die", -9, "killed by SIGKILL, after: GPU "),
    ],
)
def test_a_run_that_fails_says_why_and_takes_no_other_with_it(
    deed: str, code: int, error: str, warm: WarmProcess, tmp_path: Path
) -> None:
    end = warm.carry_out(toy_job(tmp_path / "bad", deed).order(0))
    assert end.code == code
    assert end.error.startswith(error)
    assert warm.carry_out(toy_job(tmp_path / "good").order(1)).code == 0


def test_an_environment_is_that_of_one_run(warm: WarmProcess, tmp_path: Path) -> None:
    warm.carry_out(toy_job(tmp_path / "a").order(0), {"CUDA_VISIBLE_DEVICES": "5"})
    warm.carry_out(toy_job(tmp_path / "b").order(1))
    assert "GPU 5" in said(tmp_path / "a")
    assert "GPU 5" not in said(tmp_path / "b")


def test_the_error_is_that_of_this_try_not_of_an_earlier_one(warm: WarmProcess, tmp_path: Path) -> None:
    warm.carry_out(toy_job(tmp_path, "crash").order(0))
    assert "no such thing" in warm.carry_out(toy_job(tmp_path, "mistake").order(0)).error
    assert "RuntimeError" in said(tmp_path)


@needs_proc
def test_closing_the_client_ends_the_run_and_its_children(tmp_path: Path) -> None:
    warm = WarmProcess(toy_setup(tmp_path))
    thread = Thread(target=warm.carry_out, args=(toy_job(tmp_path, "sleep", "60").order(0),))
    thread.start()
    pids = pids_of(tmp_path)
    warm.close()
    thread.join(10)
    assert not thread.is_alive()
    wait_until(lambda: not any(map(is_alive, pids)))
    assert warm.carry_out(toy_job(tmp_path).order(1)).code == -9


@needs_proc
def test_a_killed_warm_process_takes_its_run_with_it_and_is_started_anew(tmp_path: Path) -> None:
    with WarmProcess(toy_setup(tmp_path)) as warm:
        ends: list[int] = []
        order = toy_job(tmp_path / "a", "sleep", "60").order(0)
        thread = Thread(target=lambda: ends.append(warm.carry_out(order).code))
        thread.start()
        *pids, server = pids_of(tmp_path / "a")
        os.kill(server, signal.SIGKILL)
        thread.join(10)
        assert ends == [-9]
        wait_until(lambda: not any(map(is_alive, pids)))
        assert warm.carry_out(toy_job(tmp_path / "b").order(1)).code == 0


@needs_proc
def test_a_killed_client_leaves_no_process_behind(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        f"import sys; sys.path.insert(0, {str(Path(TOY).parent)!r})\n"
        "from toy_jobs import *; from lamm.sweep.worker import WarmProcess\n"
        f"here = Path({str(tmp_path)!r}); WarmProcess(toy_setup(here)).carry_out(toy_job(here, 'sleep', '60').order(0))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as client:
        pids = pids_of(tmp_path)
        client.kill()
    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_run_waits_for_another_process_that_has_it(warm: WarmProcess, tmp_path: Path) -> None:
    """Two sweeps never run the same run at the same time."""
    with WarmProcess(toy_setup(tmp_path)) as other:
        thread = Thread(target=other.carry_out, args=(toy_job(tmp_path, "sleep", "1.5").order(0),))
        thread.start()
        pids_of(tmp_path)
        began = time.monotonic()
        assert warm.carry_out(toy_job(tmp_path).order(0)).code == 0
        assert time.monotonic() - began > 0.5
        thread.join()


def test_a_script_that_can_t_be_imported_is_said(tmp_path: Path) -> None:
    with WarmProcess(Setup(TOY, ("no_such_module_anywhere",), str(tmp_path), 1)) as warm:
        assert "No module named 'no_such_module_anywhere'" in warm.carry_out(toy_job(tmp_path).order(0)).error


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("first\nsecond\n\n  \n", encoding="utf-8")
    assert last_line(log) == "second"
    assert last_line(log, start=13) == ""
