"""The other end of a `warm_process`: starts it, has it carry runs out one after another, ends it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO

from lamm.sweep.order import Ended, Order, Setup

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
            [sys.executable, "-m", "lamm.sweep.warm_process", script, *self.setup.modules],
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
