"""What is handed to a pool of processes, and what comes back from it."""

import fcntl
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import IO, Any, Protocol

from tqdm import tqdm


@dataclass(frozen=True)
class Setup:
    """What every run of a sweep has in common; all paths are absolute.

    Attributes:
        train_script: the `train.py` to run.
        modules: imported before the first run, so that runs start without their cost.
        folder: working directory of the runs.
        threads: of each run.
    """

    train_script: str
    modules: tuple[str, ...]
    folder: str
    threads: int


@dataclass(frozen=True)
class Order:
    """One run to carry out.

    Attributes:
        number: its place in the list of runs.
        words: the command line of `train.py`.
        log: file that its output is added to.
        memory: bytes that it is expected to need, on the GPU where it runs on one.
    """

    number: int
    words: tuple[str, ...]
    log: str
    memory: float


@dataclass(frozen=True)
class Started:
    """A run has begun.

    Attributes:
        number: that of its order.
    """

    number: int


@dataclass(frozen=True)
class Ended:
    """A run is over.

    Attributes:
        number: that of its order.
        code: exit code of `train.py`; of a run that was killed minus the signal.
        seconds: that it took, start to end.
        error: the last line of its output, where the code isn't 0.
    """

    number: int
    code: int
    seconds: float
    error: str


class Pool(Protocol):
    """Processes that carry orders out, several at once."""

    def submit(self, order: Order) -> None:
        """Take an order; earlier ones begin first."""

    def next_event(self, timeout: float) -> Started | Ended | None:
        """What happened next; None if nothing did in `timeout` seconds."""


TAIL_BYTES = 8192
DIED = -int(signal.SIGKILL)
END_SECONDS = 3.0


class WarmProcess:
    """One place for runs, one at a time. The process starts with the first of them, and anew when it has died.

    Args:
        setup: what the runs have in common.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        self._closed = False
        self._lock = Lock()  # `close` comes from another thread than the runs

    def carry_out(self, order: Order, environment: dict[str, str] | None = None) -> Ended:
        """Carry a run out and wait for its end.

        Args:
            order: the run.
            environment: variables that this run alone gets.
        """
        began, start = time.monotonic(), _size(order.log)
        request = {"words": order.words, "log": order.log, "folder": self.setup.folder}
        answer = self._ask(json.dumps({**request, "environment": environment or {}}))
        code = json.loads(answer)["code"] if answer else DIED
        error = "" if code == 0 else _why(code, last_line(Path(order.log), start) or self._last_words())
        return Ended(order.number, code, time.monotonic() - began, error)

    def close(self) -> None:
        """End the process, and the run in it; another one is refused."""
        with self._lock:
            self._closed, process = True, self._process
        if process is not None:
            assert process.stdin is not None, "stdin is a pipe"
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:  # it is still importing
                process.kill()
                process.wait()

    def __enter__(self) -> "WarmProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: str) -> str:
        """The answer; empty if the process died, or was closed, before it gave one."""
        with self._lock:
            if self._closed:
                return ""
            process = self._process = self._process or self._start()
        assert process.stdin is not None, "stdin is a pipe"
        assert process.stdout is not None, "stdout is a pipe"
        with suppress(BrokenPipeError, ValueError):  # it died, or was closed
            process.stdin.write(request + "\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            process.wait()
            self._process = None
        return answer

    def _start(self) -> "subprocess.Popen[str]":
        script = self.setup.train_script
        self._errors.truncate(0)
        return subprocess.Popen(
            [sys.executable, "-m", "lamm.sweep.worker", script, *self.setup.modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # As when the script is started by itself: its folder is where imports look first.
            cwd=os.path.dirname(script),
            env={**os.environ, "OMP_NUM_THREADS": str(self.setup.threads)},
            start_new_session=True,
        )

    def _last_words(self) -> str:
        self._errors.seek(0)
        return _last(self._errors.read())


def last_line(log: Path, start: int = 0) -> str:
    """The last line with something in it of what a file holds from byte `start` on."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, _size(log) - TAIL_BYTES))
            return _last(file.read())
    except OSError:
        return ""


def _last(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _size(file: str | os.PathLike[str]) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


def _why(code: int, line: str) -> str:
    """What a run ended with, where its last line doesn't say it."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}, after: {line or 'no output'}"
    return line or f"exit code {code}, no output"


LOOK_SECONDS = 1.0
"""How often to look whether a run has ended whose own workers keep its pipe open."""


def serve(train_script: str, modules: Sequence[str]) -> None:
    """Answer requests until stdin closes.

    Args:
        train_script: file with `train_parser` and `main`, the two halves of a command, and the `run` that takes them.
        modules: imported first.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    tqdm.monitor_interval = 0  # its thread could hold a lock at the moment of a fork
    for module in modules:
        importlib.import_module(module)
    script = runpy.run_path(train_script)
    fork = multiprocessing.get_context("fork")
    while (line := sys.stdin.readline()) and not _client_is_gone(0.0):
        process = fork.Process(target=carry_out, args=(script, json.loads(line)))
        process.start()
        while process.is_alive() and not _client_is_gone(LOOK_SECONDS, process.sentinel):
            pass
        kill_group(process)  # it, or its workers that outlived it
        with suppress(BrokenPipeError):
            answers.write(json.dumps({"code": process.exitcode}) + "\n")
            answers.flush()


def carry_out(script: Mapping[str, Callable[..., Any]], request: Mapping[str, Any]) -> None:
    """One run, in the forked process; never returns.

    Args:
        script: the train script's names.
        request: `words` of its command line, `log` file, working `folder`, `environment` to add.
    """
    os.setsid()
    Thread(target=_die_with_parent, daemon=True).start()
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    os.makedirs(os.path.dirname(request["log"]), exist_ok=True)
    log = open(request["log"], "a", encoding="utf-8")  # noqa: SIM115  (open, and so locked, as long as the run lives)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(log, fcntl.LOCK_EX)
    for output in (sys.stdout, sys.stderr):
        output.flush()
        os.dup2(log.fileno(), output.fileno())
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [script["__file__"], *request["words"]]  # type: ignore[list-item]
    script["run"](script["train_parser"](), script["main"], request["words"])


def kill_group(process: BaseProcess) -> None:
    """Kill what is left of a run: the process and the workers that it started."""
    assert process.pid is not None, "a run's process has been started"
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():  # not yet the head of a group
        process.kill()
    process.join()


def _client_is_gone(seconds: float, *others: int) -> bool:
    """Wait until stdin closes or one of the others is ready; whether it was stdin.

    A client sends nothing before it has its answer, so that there is nothing to read from stdin but its end.
    """
    return sys.stdin.fileno() in wait([sys.stdin.fileno(), *others], seconds)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a run is a forked process"
    parent.join()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
