"""`lamm.sweep.worker`: a run is a process of its own, and dies with whoever asked for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lamm.sweep.worker import Outcome, Worker, last_line
from tests.sweep.toy_runs import TOY, is_alive, needs_proc, output, pids_of, toy_log, toy_words, wait_until
from tests.train_command import ROOT

CLIENT = """
from lamm.sweep.worker import Worker
with Worker({command!r}, 1, {folder!r}) as worker:
    worker.carry_out({words!r}, {log!r})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cwd")


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # restored at the end
        with Worker(TOY, 3, folder) as worker:
            yield worker


def carry_out(worker: Worker, folder: Path, *do: str, **environment: str) -> Outcome:
    return worker.carry_out(toy_words(folder, *do), toy_log(folder), environment)


def test_a_run_writes_its_output_to_its_log(worker: Worker, folder: Path, tmp_path: Path) -> None:
    outcome = carry_out(worker, tmp_path)
    assert (outcome.code, outcome.error) == (0, "")
    assert "threads 3" in output(tmp_path)
    assert f"in {folder}" in output(tmp_path)


def test_runs_are_processes_of_one_server(worker: Worker, tmp_path: Path) -> None:
    pids, servers = set(), set()
    for name in ("a", "b"):
        carry_out(worker, tmp_path / name)
        _, pid, _, server, *_ = output(tmp_path / name).split()
        pids.add(pid)
        servers.add(server)
    assert (len(pids), len(servers)) == (2, 1)


@pytest.mark.parametrize(
    ("deed", "code", "error"),
    [
        ("mistake", 2, "error: no such thing: take another"),
        ("crash", 1, "RuntimeError: the loss is not a number"),
        ("die", -9, "killed by SIGKILL, after: GPU "),
    ],
)
def test_a_run_that_fails_says_why_and_takes_no_other_with_it(
    deed: str, code: int, error: str, worker: Worker, tmp_path: Path
) -> None:
    outcome = carry_out(worker, tmp_path / "bad", deed)
    assert outcome.code == code
    assert outcome.error.startswith(error)
    assert carry_out(worker, tmp_path / "good").code == 0


def test_the_error_is_that_of_this_try_not_of_an_earlier_one(worker: Worker, tmp_path: Path) -> None:
    carry_out(worker, tmp_path, "crash")
    assert "no such thing" in carry_out(worker, tmp_path, "mistake").error
    assert "RuntimeError" in output(tmp_path)


def test_an_environment_is_that_of_one_run(worker: Worker, tmp_path: Path) -> None:
    carry_out(worker, tmp_path / "a", CUDA_VISIBLE_DEVICES="5")
    carry_out(worker, tmp_path / "b")
    assert "GPU 5" in output(tmp_path / "a")
    assert "GPU 5" not in output(tmp_path / "b")


def test_a_command_that_can_t_be_imported_is_named(worker: Worker, tmp_path: Path) -> None:
    other = Worker("no_such_module_anywhere:train", 1, tmp_path)
    assert "No module named 'no_such_module_anywhere'" in carry_out(other, tmp_path).error


@needs_proc
def test_closing_ends_the_run_and_its_children_and_begins_no_other(worker: Worker, tmp_path: Path) -> None:
    other = Worker(TOY, 1, tmp_path)
    thread = Thread(target=carry_out, args=(other, tmp_path, "sleep", "60"))
    thread.start()
    pids = pids_of(tmp_path)[:2]
    other.close()
    thread.join(10)
    assert not thread.is_alive()
    wait_until(lambda: not any(map(is_alive, pids)))
    assert carry_out(other, tmp_path).code == -9


@needs_proc
def test_a_killed_server_ends_its_runs_and_is_started_again(worker: Worker, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    thread = Thread(target=lambda: outcomes.append(carry_out(worker, tmp_path / "a", "sleep", "60")))
    thread.start()
    *pids, server = pids_of(tmp_path / "a")
    os.kill(server, signal.SIGKILL)
    thread.join(10)
    assert [outcome.code for outcome in outcomes] == [-9]
    wait_until(lambda: not any(map(is_alive, [*pids, server])))
    assert carry_out(worker, tmp_path / "b").code == 0


@needs_proc
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_the_end_of_the_sweep_is_the_end_of_its_runs(end: signal.Signals, tmp_path: Path) -> None:
    words, log = toy_words(tmp_path, "sleep", "60"), toy_log(tmp_path)
    code = CLIENT.format(command=TOY, folder=str(tmp_path), words=words, log=log)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True
    ) as client:
        pids = pids_of(tmp_path)
        if end == signal.SIGINT:  # which a terminal sends to the whole group
            os.killpg(client.pid, end)
        else:
            client.send_signal(end)
        _, errors = client.communicate(timeout=60)
    wait_until(lambda: not any(map(is_alive, pids)))
    assert errors.count("Traceback") == (end == signal.SIGINT)  # its own alone, not one of each process


def test_a_run_waits_for_another_process_that_has_it(worker: Worker, tmp_path: Path) -> None:
    """Two sweeps never run the same run at the same time."""
    thread = Thread(target=carry_out, args=(worker, tmp_path, "sleep", "1.5"))
    thread.start()
    pids_of(tmp_path)
    began = time.monotonic()
    assert carry_out(worker, tmp_path).code == 0
    assert time.monotonic() - began > 0.5
    thread.join()


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("first\nsecond\n\n  \n", encoding="utf-8")
    assert last_line(log) == "second"
    assert last_line(log, start=13) == ""
