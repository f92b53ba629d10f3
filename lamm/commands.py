"""What every command shares: one-line errors, exit codes, `--debug`."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from lamm.errors import LammError
from lamm.suggest import nearest

USER_ERROR = 2


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
    """Parse, run `main`, and leave with its exit code; a `LammError` becomes one line and exit code 2."""
    parsed = parser.parse_args(arguments)
    try:
        code = main(parsed) or 0
    except LammError as error:
        if parsed.debug:
            traceback.print_exc()
        sys.stdout.flush()
        print("error: " + " ".join(str(error).split("\n")), file=sys.stderr)
        code = USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
