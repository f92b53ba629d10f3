"""Typed errors for a user's mistakes.

Library code raises them; commands (`lamm.commands.parser`) turn them into one line on stderr and exit code 2.
A message says what is wrong, where, and what to do, on one line.
"""

import sys
from collections.abc import Iterable
from difflib import SequenceMatcher
from types import TracebackType

from lamm.escaping import printable


class LammError(Exception):
    """A mistake that the user can mend; the base of all errors below."""


class ConfigError(LammError):
    """A config key, value, file or command-line argument that can't be used."""


class DataError(LammError):
    """A data set, split file, class name or image that is missing or broken."""


class BackboneError(LammError):
    """A CLIP model that is missing, damaged, or can't do what is asked of it."""


class CheckpointError(LammError):
    """A checkpoint that is missing, damaged, or belongs to another model."""


class PromptError(LammError):
    """A class name or template from which no prompt can be made."""


class EngineError(LammError):
    """An engine that was asked for by name and can't run."""


class ResultsError(LammError):
    """Runs whose results are missing, unfinished or can't be read."""


def end_with_one_line() -> None:
    """Have an error of ours that nothing catches end this program with one line and exit code 2, as in our commands.

    For programs that others wrote. `python -X dev` shows the traceback, and so does an interactive Python.
    """
    earlier = sys.excepthook
    if hasattr(earlier, "one_line"):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, LammError) or sys.flags.dev_mode or hasattr(sys, "ps1"):
            earlier(kind, error, trace)
            return
        sys.stderr.write(f"error: {printable(' '.join(str(error).split()))[:500]}\n")
        raise SystemExit(2)

    vars(hook)["one_line"] = True
    sys.excepthook = hook


NEAR = 0.6


def nearest(name: str, known: Iterable[str], near: float = NEAR) -> str | None:
    """The known name most like `name` (case ignored; of equals the later one), None when none is near.

    Args:
        name: what was written.
        known: what could have been meant.
        near: the least ratio of `SequenceMatcher`.
    """
    best, best_ratio = None, near
    name = name[:100]  # what is longer is not a misspelling, and comparing takes its square
    for candidate in known:
        ratio = SequenceMatcher(None, name.lower(), candidate.lower()).ratio()
        if ratio >= best_ratio:
            best, best_ratio = candidate, ratio
    return best


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line such as `unknown trainer "LAM"; did you mean "LAMM"? Known: CoOp, LAMM`."""
    names, name = list(known), name if len(name) <= 100 else f"{name[:98]} …"
    guess = nearest(name, names)
    hint = f'; did you mean "{guess}"?' if guess is not None else ""
    return f'unknown {kind} "{name[:80]}"{hint or "."} Known: {", ".join(sorted(names)) or "none"}'
