"""The processes that are not the first say nothing: no lines, no warnings, no progress bars; only why a run ends."""

import io
import os
import sys
import warnings


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
