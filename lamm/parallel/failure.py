"""How a run of several processes ends early: one of them says why, all of them stop.

The first process whose run fails puts a mark into the store and takes the word. The others fail soon after, because
it is gone; they leave without one.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from lamm.errors import LammError

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
