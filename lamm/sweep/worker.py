"""A run in a process of its own, forked off a server that has imported torch and the trainers already.

The server is multiprocessing's "forkserver". A run's output goes to a log file; its process and whatever that starts
are one process group, which ends with the process that asked for the run.
"""

import fcntl
import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock, Thread
from typing import NamedTuple

from lamm.run import IMPORTED_ONCE

TRAIN = "lamm.commands.train:train"
PRELOAD = ("lamm.sweep.worker", "lamm.commands.train", *IMPORTED_ONCE)
TAIL_BYTES = 8192
DIED = -int(signal.SIGKILL)
SERVER_DIED = 255
"""What multiprocessing says of a process whose exit code nobody was there to hear."""


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        code: exit code; of a run that was killed minus the signal.
        seconds: from its start to its end.
        error: the last line of its output, where the code isn't 0.
    """

    code: int
    seconds: float
    error: str


class Worker:
    """Carries runs out, each in a process of its own, from any thread. Leaving the context ends those that are left.

    Create it in the main thread. All workers of a process share one server, which has the threads of the first.

    Args:
        command: `module:function`, a command that takes its words and leaves with an exit code, such as `TRAIN`.
        threads: of each run.
        folder: working directory of the runs.
    """

    def __init__(self, command: str, threads: int, folder: str | os.PathLike[str]) -> None:
        self._command, self._threads, self._folder = command, str(threads), os.fspath(folder)
        self._lock = Lock()  # around all that reads exit codes: multiprocessing may read each only once
        self._processes: set[BaseProcess] = set()
        self._closed = False
        os.environ["OMP_NUM_THREADS"] = self._threads  # OpenMP reads it when the server imports torch
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOAD) if command == TRAIN else [])
        # Server and runs inherit that they ignore Ctrl-C, which also reaches them: it is this process that ends runs.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            multiprocessing.forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)

    def carry_out(self, words: Sequence[str], log: str, environment: Mapping[str, str] | None = None) -> Outcome:
        """Carry a run out and wait for its end.

        Args:
            words: the words of its command line.
            log: file that its output is added to.
            environment: variables that this run alone gets.
        """
        start = _size(log)
        variables = {"OMP_NUM_THREADS": self._threads, **(environment or {})}
        process = self._context.Process(target=_child, args=(self._command, words, log, self._folder, variables))
        with self._lock:
            if self._closed:
                return Outcome(DIED, 0.0, "the sweep was stopped")
            try:
                process.start()
            except (OSError, EOFError) as error:
                return Outcome(DIED, 0.0, f"no process for it: {error or 'the server died'}")
            self._processes.add(process)
        began = time.monotonic()  # not before the server has imported everything
        wait([process.sentinel])
        with self._lock:
            _kill_group(process)  # workers of the run that outlived it
            process.join()
            self._processes.discard(process)
        code = process.exitcode or 0
        code = DIED if code == SERVER_DIED else code
        line, reason = last_line(Path(log), start), ""
        if code < 0:
            reason = f"killed by {signal.Signals(-code).name}, after: {line or 'no output'}"
        elif code > 0:
            reason = line or f"exit code {code}, no output"
        return Outcome(code, time.monotonic() - began, reason)

    def close(self) -> None:
        """End the runs that are left; no other one begins."""
        self._closed = True
        with self._lock:
            for process in self._processes:
                _kill_group(process)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def last_line(log: Path, start: int = 0) -> str:
    """The last line that is not empty in what a file holds from byte `start` on."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, _size(log) - TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")


def _size(file: str | os.PathLike[str]) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


def _kill_group(process: BaseProcess) -> None:
    """Kill what is left of a run: its process, and those that it started."""
    assert process.pid is not None, "a run's process has been started"
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nothing is left, or it is not yet the head of a group
        process.kill()


def _child(command: str, words: Sequence[str], log: str, folder: str, environment: Mapping[str, str]) -> None:
    """The run, in its own process."""
    os.setsid()
    Thread(target=_die_with_parent, daemon=True).start()
    os.environ.update(environment)
    os.chdir(folder)
    os.makedirs(os.path.dirname(log), exist_ok=True)
    # Locked as long as it is open, which is as long as the run lives: another sweep waits here for the same run.
    file = open(log, "a", encoding="utf-8")  # noqa: SIM115
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)
    for output in (sys.stdout, sys.stderr):
        output.flush()
        os.dup2(file.fileno(), output.fileno())
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [command, *words]
    module, _, function = command.partition(":")
    getattr(importlib.import_module(module), function)(words)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a run is a child of the process that asked for it"
    parent.join()
    os.killpg(0, signal.SIGKILL)
