"""A command that torchrun can start several times: in place of `lamm.commands.parser.run`."""

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
from lamm.parallel.ranks import Launch, launch_of

MARK = "failed"
# torchrun shows a failed process's reason if it finds it in this file.
REASON_FILE = "TORCHELASTIC_ERROR_FILE"
SECONDS_TO_SPEAK, SECONDS_TO_UNWIND = 3.0, 5.0
STOPPED = 128 + signal.SIGTERM
STOP_REASON = "stopped by SIGTERM, such as torchrun sends when another process of the run has died"


class Voice:
    """The right to say why the run ends.

    Args:
        store: what the processes share.
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
        except RuntimeError:  # the store is gone, and with it whoever could have said it
            first = True
        if first:
            _report(reason)
        return first


@contextmanager
def one_voice(store: Any) -> Iterator[None]:
    """Let the errors of one process through; the others leave without a word, with exit code 1.

    SIGTERM, with which torchrun ends the processes that are left over, unwinds this one, so that it leaves nothing
    half done; where it hangs in an exchange, it ends all the same.

    Args:
        store: what the processes share.
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
        if voice.take(_line(error)):
            raise
        raise SystemExit(1) from None


def _end_on_sigterm(voice: Voice) -> None:
    """Have SIGTERM raise SystemExit here, and end the process from a thread if that takes long.

    Python runs a handler between two of its own steps only; the thread is woken at once. The thread says why, and the
    handler waits for it: the process would be gone before a word. Who is first to fail is asked of the store, which may
    not answer while this process waits for it elsewhere; then the word is taken without asking.
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


def _report(reason: str) -> None:
    path = os.environ.get(REASON_FILE)
    if path:
        message = {"message": f"error: {reason}", "extraInfo": {"timestamp": str(int(time.time()))}}
        with suppress(OSError), open(path, "w", encoding="utf-8") as file:
            json.dump({"message": message}, file)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, LammError) else f"{type(error).__name__}: {text}"


class _NoTerminal(io.TextIOWrapper):
    """Standard error for errors alone: progress bars, which ask whether it is a terminal, stay away."""

    def isatty(self) -> bool:
        return False


def fall_silent() -> None:
    """From now on what this process prints goes nowhere, errors included."""
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stderr = nowhere


def tell_errors_alone() -> None:
    """After `fall_silent`: let through what is written to standard error, warnings excepted."""
    warnings.simplefilter("ignore")
    raw = open(2, "wb", buffering=0, closefd=False)  # noqa: SIM115
    sys.stderr = _NoTerminal(raw, encoding="utf-8", errors="replace", write_through=True)


Main = Callable[[argparse.Namespace], int | None]


def run(parser: commands.Parser, main: Main, arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse, run `main` with the other processes, if there are any, and leave with its exit code.

    Only the first process prints; the one that fails first says why.
    """

    def launched(parsed: argparse.Namespace) -> int | None:
        launch = launch_of()
        return main(parsed) if launch is None else _run_with_others(main, parsed, launch)

    place = _place()
    if place is None:
        commands.run(parser, launched, arguments)
    # Of torch, before it is imported: what it warns of, each process would.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if place.rank > 0:
        fall_silent()
    try:
        commands.run(parser, launched, arguments)
    except SystemExit as stop:
        if stop.code in (None, 0):
            _leave()
        raise


def _run_with_others(main: Main, arguments: argparse.Namespace, launch: Launch) -> int | None:
    # Imported here since torch comes with them, which --help does not wait for.
    from lamm.parallel.ranks import current_ranks, joined_group

    if launch.rank > 0:
        tell_errors_alone()
    with joined_group(launch) as store, one_voice(store):
        code = main(arguments)
        current_ranks().barrier()
    return code


def _leave() -> NoReturn:
    """End a run that is done at once: what torch's threads do while the interpreter is taken down can't fail it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _place() -> Launch | None:
    """This process's place; None where it is on its own, or half told, which `launched` refuses aloud."""
    try:
        return launch_of()
    except ConfigError:
        return None
