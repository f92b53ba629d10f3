"""The final result in a log of CoOp-family code, for runs without a `results.json`."""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TRAINING_SIGNALS = ("Finish training", "Finished training")
TEST_SIGNALS = ("=> result",)
PATTERNS = {
    "accuracy": re.compile(r"\* accuracy: ([\.\deE+-]+)%"),
    "error_rate": re.compile(r"\* error: ([\.\deE+-]+)%"),
    "macro_f1": re.compile(r"\* macro_f1: ([\.\deE+-]+)%"),
}
_SPLIT = re.compile(r"Evaluate on the \*(\w+)\* set")
_LOG_NAME = re.compile(r"log\.txt(-\d[\d-]*)?")


class LogResult(NamedTuple):
    """What a log says at its end.

    Attributes:
        metrics: Percent by name (`accuracy`, `error_rate`, `macro_f1`), those that the log has.
        split: The split that the last evaluation ran on ("test" where the log doesn't say).
    """

    metrics: dict[str, float]
    split: str


def log_files(folder: Path) -> list[Path]:
    """The logs of a run, newest first: dated ones by their date, `log.txt` is the oldest."""
    return sorted((file for file in folder.glob("log.txt*") if _LOG_NAME.fullmatch(file.name)), reverse=True)


def read_log(file: Path, test_log: bool = False) -> LogResult | None:
    """The final result in `file`, or None when the run did not get that far.

    Args:
        file: A log.
        test_log: Whether any evaluation counts, as for the log of an evaluation alone, not just the one after training.
    """
    signals = TRAINING_SIGNALS + TEST_SIGNALS if test_log else TRAINING_SIGNALS
    metrics: dict[str, float] = {}
    split, at_the_end = "test", False
    with open(file, encoding="utf-8", errors="replace") as lines:
        for line in map(str.strip, lines):
            if line in signals:
                at_the_end = True
            if evaluation := _SPLIT.search(line):
                split = evaluation[1]
            for name, pattern in PATTERNS.items():
                if at_the_end and (match := pattern.search(line)):
                    with suppress(ValueError):
                        metrics[name] = float(match[1])
    return LogResult(metrics, split) if "accuracy" in metrics else None


def newest_result(folder: Path, test_log: bool = False) -> LogResult | None:
    """The result of the newest log in `folder` that has one, or None."""
    return next((result for file in log_files(folder) if (result := read_log(file, test_log))), None)
