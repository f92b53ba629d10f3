"""What commands share: one-line errors, exit codes, `--debug`, and the arguments that several of them have."""

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lamm.errors import ConfigError, LammError, nearest

if TYPE_CHECKING:
    import torch

SCRIPT_VARIABLE = "LAMM_SCRIPT"
"""Name of the script in scripts/ that started this command, set by it."""

USER_ERROR = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


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
        text = " ".join(str(error).split("\n"))
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}; check the path, its permissions and the space left"
        print(f"error: {text}", file=sys.stderr)
        code = USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def add_run_arguments(parser: Parser) -> None:
    """Add the run's folder, and where its weights and its trainer's code are."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="output folder of a run, such as output/…/seed1")
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


def imported_extensions(specs: Sequence[str]) -> list[Callable[[Any], None]]:
    """Import the code of other trainers, and ours, which are offered: they take no names.

    Returns:
        The functions by which they add config keys.

    Raises:
        ConfigError: there is nothing of that name, or its import or, later, its function fails.
    """
    # Imported here so that --help is quick, and so that an engine that can't run is one line like any mistake.
    from lamm.engine.foreign import import_file_or_module, refuse

    modules = {spec: import_file_or_module(spec) for spec in specs}
    import lamm_trainers

    def guarded(spec: str, extend: Callable[[Any], None]) -> Callable[[Any], None]:
        def extend_cfg(cfg: Any) -> None:
            try:
                extend(cfg)
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


def at_least(lowest: int) -> Callable[[str], int]:
    """The type of an argument: a whole number from `lowest` up."""

    def number(text: str) -> int:
        if not re.fullmatch("[0-9]+", text) or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest} up, got {text}")
        return int(text)

    return number
