"""What every command shares: one-line errors, exit codes, `--debug`."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from lamm.errors import LammError
from lamm.suggest import nearest

USER_ERROR = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest flag for a misspelt one."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def error(self, message: str) -> NoReturn:
        hint = ""
        if message.startswith("unrecognized arguments:"):
            flags = [flag for action in self._actions for flag in action.option_strings]
            word = message.split(":", 1)[1].split()[0]
            hint = f" (did you mean {nearest(word, flags)}?)" if word.startswith("-") else ""
        print(f"error: {message}{hint}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(USER_ERROR)


def run(
    parser: Parser, main: Callable[[argparse.Namespace], int | None], arguments: Sequence[str] | None = None
) -> NoReturn:
    """Parse, run `main`, and leave with its exit code; a mistake or a failing file is one line and exit code 2."""
    parsed = parser.parse_args(arguments)
    try:
        code = main(parsed) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = BROKEN_PIPE
    except (LammError, OSError) as error:
        if parsed.debug:
            traceback.print_exc()
        with suppress(OSError):
            sys.stdout.flush()
        print(f"error: {_one_line(error)}", file=sys.stderr)
        code = USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def _one_line(error: Exception) -> str:
    """The message; of a system's error, the file and the reason."""
    if isinstance(error, OSError) and not isinstance(error, LammError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check the path, its permissions and the space left"
    return " ".join(str(error).split("\n"))
