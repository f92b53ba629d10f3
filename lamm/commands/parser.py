"""What commands share: one-line errors, exit codes, `--debug`, and the arguments that several of them have."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lamm.commands import INTERRUPTED, importing
from lamm.errors import ConfigError, LammError, nearest
from lamm.escaping import printable
from lamm.numbers import Range

if TYPE_CHECKING:
    import torch

SCRIPT_VARIABLE = "LAMM_SCRIPT"
"""Name of the script in scripts/ that started this command, set by it."""

USER_ERROR = 2
BROKEN_PIPE = 141
MOST_CHARACTERS = 450


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that suggests the nearest flag for a misspelt one.

    The program's name is the one that the user typed: `lamm NAME`, `NAME.py`, or a script such as `main.sh`.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("prog", os.environ.get(SCRIPT_VARIABLE) or Path(sys.argv[0]).name)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown arguments here, so that the error of a sub-command has the sub-command's name."""
        parsed, others = super().parse_known_args(args, namespace)
        if others:
            self.error(f"unrecognized arguments: {' '.join(others)}")
        return parsed, others

    def print_help(self, file: Any = None) -> None:
        """Print the help; a failure to write is an error here, unlike in argparse."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        hint = ""
        if message.startswith("unrecognized arguments:"):
            flags = [flag for action in self._actions for flag in action.option_strings]
            word = message.split(":", 1)[1].split()[0]
            guess = nearest(word, flags) if word.startswith("-") else None
            hint = f" (did you mean {guess}?)" if guess else ""
        raise SystemExit(tell(f"{message}{hint}; see {self.prog} --help"))


def run(
    parser: Parser, main: Callable[[argparse.Namespace], int | None], arguments: Sequence[str] | None = None
) -> NoReturn:
    """Parse, run `main`, and leave with its exit code as `leave` does."""

    def body() -> int | None:
        parsed = parser.parse_args(arguments)
        try:
            return main(parsed)
        except (LammError, OSError):
            if parsed.debug:
                traceback.print_exc()
            raise

    leave(body)


def leave(body: Callable[[], int | None]) -> NoReturn:
    """Run `body` and leave with its exit code, or with one line on stderr.

    A mistake or a file that fails, standard output too, is exit code 2; Ctrl-C is 130. A reader that has seen enough,
    such as `head`, is 141, without a line.
    """
    code: Any
    try:
        try:
            code = body() or 0
        except SystemExit as stop:
            code = stop.code or 0
        sys.stdout.flush()
    except BrokenPipeError:
        code = BROKEN_PIPE
    except (LammError, OSError) as error:
        with suppress(OSError):
            sys.stdout.flush()
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}; check the path, its permissions and the space left"
        elif isinstance(error, OSError) and error.errno == errno.EBADF:
            text = "standard output is closed"
        elif isinstance(error, OSError) and error.strerror:
            text = f"standard output or a file: {error.strerror}"
        code = tell(text)
    except KeyboardInterrupt:
        with suppress(OSError):
            print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # what the interpreter flushes at its end must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def tell(text: str) -> int:
    """Print an error as one line of at most 500 characters, however long a value in it is; the exit code."""
    line = printable(" ".join(text.split("\n")))
    line = line if len(line) <= MOST_CHARACTERS else f"{line[:300]} … {line[300 - MOST_CHARACTERS :]}"
    with suppress(OSError):
        print(f"error: {line}", file=sys.stderr)
    return USER_ERROR


def open_streams() -> None:
    """Give a process its standard streams, also where the shell has closed them, as `>&-` does.

    Otherwise the first file to be opened would get the number of a closed one, and what is printed. Writing to a
    closed standard output fails, as on a full disk. A character that the terminal's encoding lacks is written with
    backslashes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def add_run_arguments(parser: Parser) -> None:
    """Add the run's folder or classifier file, and where its weights and its trainer's code are."""
    parser.add_argument(
        "run_dir", metavar="RUN_DIR|FILE", help="output folder of a run, such as output/…/seed1; or a classifier file"
    )
    parser.add_argument(
        "--backbone-path", default="", metavar="FILE", help="CLIP's weights, if they are not where the run found them"
    )
    add_import_argument(parser, "code of the run's trainer, if it is not one of ours")


def add_import_argument(group: "argparse._ActionsContainer", meaning: str) -> None:
    """Add `--import`, for `imported_extensions`."""
    group.add_argument("--import", dest="imports", action="append", default=[], metavar="FILE_OR_MODULE", help=meaning)


def add_root_argument(group: "argparse._ActionsContainer") -> None:
    """Add `--root`, the folder that holds the data sets."""
    group.add_argument(
        "--root", type=Path, default=data_root(), metavar="DIR", help="data root (default: $DATA, else data)"
    )


def data_root() -> str:
    """The data root where none is named: $DATA, else `data`."""
    return os.environ.get("DATA") or "data"


def imported_extensions(specs: Sequence[str], to_plan: bool = False) -> list[Callable[[Any], None]]:
    """Import the code of other trainers, and have ours offered: they take no names.

    Args:
        specs: the arguments of `--import`.
        to_plan: whether runs are only planned, which takes neither torch nor our trainers' own modules.

    Returns:
        The functions by which they add config keys.

    Raises:
        ConfigError: there is nothing of that name, or its import or, later, its function fails.
    """
    # Imported here so that --help is quick, and so that an engine that can't run is one line like any mistake.
    from lamm.engine.foreign import import_file_or_module, refuse

    modules = {spec: import_file_or_module(spec) for spec in specs}
    with importing():
        import lamm_trainers

        if not to_plan:
            import lamm_trainers.base

    def guarded(spec: str, extend: Callable[[Any], None]) -> Callable[[Any], None]:
        def extend_cfg(cfg: Any) -> None:
            try:
                extend(cfg)
                if not isinstance(cfg.TRAINER, dict):
                    raise TypeError(f"it makes cfg.TRAINER a {type(cfg.TRAINER).__name__}")
            except Exception as error:
                refuse(f"--import {spec}: its extend_cfg(cfg) fails", error)

        return extend_cfg

    theirs = [guarded(spec, module.extend_cfg) for spec, module in modules.items() if hasattr(module, "extend_cfg")]
    return [*theirs, lamm_trainers.extend_cfg]


def chosen_device(name: str) -> "torch.device":
    """The device of that name; without a name, a GPU if there is one.

    Raises:
        ConfigError: there is no such device, or it can't be used.
    """
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise ConfigError(f"--device {name} can't be used: {reason}") from error
    return device


def at_least(lowest: int) -> Range:
    """The type of an argument: a whole number from `lowest` up, as far as a machine goes."""
    return Range(lowest)
