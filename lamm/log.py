"""The project's one logger.

It prints to whatever `sys.stdout` is at the moment of the call, so that the engine's log file
(which replaces `sys.stdout` by a tee) gets its lines too.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

from lamm.escaping import printable


class _CurrentStdout(logging.StreamHandler):  # type: ignore[type-arg]
    """A stream handler that looks `sys.stdout` up at each record."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    def handleError(self, record: logging.LogRecord) -> None:
        """Let the error through, such as a full disk's, which `logging` would print with a traceback."""
        raise

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout


class _Printable(logging.Formatter):
    """No escape sequence in a name reaches a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


def _make_logger() -> logging.Logger:
    made = logging.getLogger("lamm")
    if not made.handlers:
        handler = _CurrentStdout()
        handler.setFormatter(_Printable("%(message)s"))
        made.addHandler(handler)
        made.setLevel(logging.INFO)
        made.propagate = False
    return made


logger = _make_logger()


@contextmanager
def warnings_alone() -> Iterator[None]:
    """Log warnings only, and print to stderr: stdout is for a command's result."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(level)
