"""The log file: everything printed to stdout also lands in it."""

import os
import sys
import time
from contextlib import suppress
from typing import Any, TextIO, cast

from tqdm import tqdm

from lamm.escaping import printable


class Logger:
    """A stdout that writes to the console it replaces and to a file.

    Every attribute that it lacks (`isatty`, `encoding`, `fileno`, …) is the console's. Closing it closes the file
    alone. The file receives each line at once, so a killed run loses nothing. On a terminal complete lines go above
    the progress bars that are shown.

    Attributes:
        shown: whether the console gets what is written; the file always does.
    """

    def __init__(self, fpath: str | os.PathLike[str] | None = None, mode: str = "w", shown: bool = True) -> None:
        self.console: TextIO = sys.stdout
        self.shown = shown
        self._line = ""
        self.file: TextIO | None = None
        if fpath is not None:
            os.makedirs(os.path.dirname(os.path.abspath(fpath)), exist_ok=True)
            self.file = cast(TextIO, open(fpath, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115

    def write(self, msg: str) -> int:
        """Write to both; complete lines reach the file at once."""
        if self.shown:
            self._write_to_console(msg)
        if self.file is not None:
            try:
                self.file.write(msg)
                if "\n" in msg:
                    self.file.flush()
            except OSError as error:
                # Said once, with the file's name; what is printed later goes to the console alone.
                error.filename = self.file.name
                with suppress(OSError):
                    self.close()
                raise
        return len(msg)

    def _write_to_console(self, msg: str) -> None:
        if not getattr(self.console, "isatty", lambda: False)():
            self.console.write(msg)
            return
        self._line += msg
        if self._line.endswith("\n"):
            line, self._line = self._line, ""
            with tqdm.external_write_mode(file=sys.stdout):
                self.console.write(line)

    def flush(self) -> None:
        """Flush both, the file down to the disk."""
        self.console.flush()
        if self.file is not None:
            self.file.flush()
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file; what is printed later goes to the console alone."""
        file, self.file = self.file, None
        if file is not None:
            file.close()

    def __getattr__(self, name: str) -> Any:
        if name in ("console", "file", "shown", "_line"):
            raise AttributeError(name)
        return getattr(self.console, name)

    def __enter__(self) -> "Logger":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def setup_logger(output: str | os.PathLike[str] | None = None, append: bool = False, console: bool = True) -> None:
    """Send stdout to a log file too, from now on.

    Args:
        output: A path that ends in `.txt` or `.log` is the file itself, any other is the folder of `log.txt`;
            None or "" does nothing.
        append: Continue an existing file. Otherwise it is kept and the new one gets the date as a suffix.
        console: Off: the console gets nothing of it but the lines of `say`.
    """
    if not output:
        return
    path = os.fspath(output)
    if not path.endswith((".txt", ".log")):
        path = os.path.join(path, "log.txt")
    if os.path.exists(path) and not append:
        path += time.strftime("-%Y-%m-%d-%H-%M-%S")
    sys.stdout = Logger(path, mode="a", shown=console)  # type: ignore[assignment]


def say(line: str) -> None:
    """Print a line that a user wants to see even where a `Logger` keeps everything else to its file."""
    tee: Any = sys.stdout
    shown = getattr(tee, "shown", True)
    if not shown:
        tee.shown = True
    try:
        print(printable(line), flush=True)
    finally:
        if not shown:
            tee.shown = False
