"""How a command runs that torchrun may start several times: `run`, in place of `lamm.commands.parser.run`."""

import argparse
import io
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from lamm.commands import parser as commands
from lamm.errors import ConfigError, LammError
from lamm.parallel import Launch, launch_of

MARK = "failed"
# torchrun shows a failed process's reason if it finds it in this file.
REASON_FILE = "TORCHELASTIC_ERROR_FILE"
SECONDS_TO_SPEAK, SECONDS_TO_UNWIND = 3.0, 5.0
STOPPED = 128 + signal.SIGTERM
STOP_REASON = "stopped by SIGTERM, such as torchrun sends when another process of the run has died"

Main = Callable[[argparse.Namespace], int | None]


def run(parser: commands.Parser, main: Main, arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse, run `main` with the other processes, if there are any, and leave with its exit code.

    Only the first process prints; the one that fails first says why.
    """

    def launched(parsed: argparse.Namespace) -> int | None:
        launch = launch_of()
        return main(parsed) if launch is None else _run_with_others(main, parsed, launch)

    try:
        place = launch_of()
    except ConfigError:  # only a part of torchrun's variables: `launched` says so
        place = None
    if place is None:
        commands.run(parser, launched, arguments)
    # What torch warns of when it is imported, it would warn of in every process.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if place.rank > 0:
        fall_silent()
    try:
        commands.run(parser, launched, arguments)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
        # The run is done: what torch's threads do while the interpreter is taken down can't fail it any more.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(0)


def _run_with_others(main: Main, arguments: argparse.Namespace, launch: Launch) -> int | None:
    # Imported here since torch comes with them, which --help does not wait for.
    from lamm.parallel.ranks import current_ranks, joined_group

    if launch.rank > 0:
        tell_errors_alone()
    with joined_group(launch) as store, one_voice(store):
        code = main(arguments)
        current_ranks().barrier()
    return code


class _NoTerminal(io.TextIOWrapper):
    """A standard error that says it is not a terminal, so that no progress bar is drawn on it."""

    def isatty(self) -> bool:
        return False


def fall_silent() -> None:
    """From now on, discard all that this process prints, errors included."""
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stderr = nowhere


def tell_errors_alone() -> None:
    """After `fall_silent`: let through what is written to standard error, except warnings."""
    warnings.simplefilter("ignore")
    raw = open(2, "wb", buffering=0, closefd=False)  # noqa: SIM115
    sys.stderr = _NoTerminal(raw, encoding="utf-8", errors="replace", write_through=True)


class Voice:
    """The right to say why the run ends, which only the first process to fail has.

    Args:
        store: the key-value store that the processes share.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._taken = False
        self._lock = threading.Lock()

    def take(self, reason: str) -> bool:
        """Whether this process is the first to fail; `reason` then goes into torchrun's report too."""
        with self._lock:
            if self._taken:
                return False
            self._taken = True
        try:
            first = self._store.add(MARK, 1) == 1
        except RuntimeError:  # the store is gone, and with it every process that could have said it
            first = True
        if first and REASON_FILE in os.environ:
            message = {"message": f"error: {reason}", "extraInfo": {"timestamp": str(int(time.time()))}}
            with suppress(OSError), open(os.environ[REASON_FILE], "w", encoding="utf-8") as file:
                json.dump({"message": message}, file)
        return first


@contextmanager
def one_voice(store: Any) -> Iterator[None]:
    """Let the errors of one process through; the others leave silently, with exit code 1.

    torchrun ends the remaining processes with SIGTERM. It unwinds this process, so that nothing is left half done; a
    process that hangs in an exchange ends too.

    Args:
        store: the key-value store that the processes share.
    """
    voice = Voice(store)
    _end_on_sigterm(voice)
    try:
        yield
    except KeyboardInterrupt:
        if voice.take("interrupted"):
            raise
        raise SystemExit(130) from None
    except Exception as error:
        text = " ".join(str(error).split())
        if voice.take(text if isinstance(error, LammError) else f"{type(error).__name__}: {text}"):
            raise
        raise SystemExit(1) from None


def _end_on_sigterm(voice: Voice) -> None:
    """Have SIGTERM raise SystemExit here, and end the process from a thread if that takes too long.

    Python runs a signal handler only between two of its own steps; the thread is woken at once. The thread prints the
    reason, and the handler waits for it, since otherwise the process would be gone before. Whether this process is the
    first to fail is asked of the store. The store may not answer while this process waits for it elsewhere; then the
    reason is printed without asking.
    """
    told = threading.Event()
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)

    def unwind(signum: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        told.wait(SECONDS_TO_SPEAK + 1.0)
        raise SystemExit(STOPPED)

    def speak() -> None:
        if voice.take(STOP_REASON) and not told.is_set():
            _say_stopped()
        told.set()

    def watch() -> None:
        while os.read(readable, 1) != bytes([signal.SIGTERM]):
            pass
        threading.Thread(target=speak, daemon=True, name="say why on SIGTERM").start()
        if not told.wait(SECONDS_TO_SPEAK):
            told.set()
            _say_stopped()
        time.sleep(SECONDS_TO_UNWIND)
        os._exit(STOPPED)

    threading.Thread(target=watch, daemon=True, name="end on SIGTERM").start()
    signal.signal(signal.SIGTERM, unwind)


def _say_stopped() -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"error: {STOP_REASON}; the same command goes on from what is saved\n")
        sys.stderr.flush()
