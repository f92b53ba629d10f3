"""Runs without a `results.json`: where they lie, what their path says, and the result in a log of CoOp-family code."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from lamm.errors import ResultsError

GROUP = ["dataset", "shots", "trainer", "cfg", "protocol", "split"]
"""The columns in which runs that differ in nothing but the seed agree."""
TRAINING_SIGNALS = ("Finish training", "Finished training")
TEST_SIGNALS = ("=> result",)
PATTERNS = {
    name: re.compile(rf"\* {word}: ([\.\deE+-]+)%")
    for name, word in (("accuracy", "accuracy"), ("error_rate", "error"), ("macro_f1", "macro_f1"))
}
_SPLIT = re.compile(r"Evaluate on the \*(\w+)\* set")
_LOG_NAME = re.compile(r"log\.txt(-\d[\d-]*)?")


def folders_below(roots: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Folders and all folders below them, each once, hidden ones left out; links are followed.

    Raises:
        ResultsError: A folder does not exist or can't be read.
    """
    seen: set[Path] = set()

    def below(folder: Path) -> Iterator[Path]:
        if (real := folder.resolve()) in seen:
            return
        seen.add(real)
        yield folder
        try:
            children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
        except OSError as error:
            raise ResultsError(f"can't read the folder {folder}: {error.strerror}") from error
        for child in sorted(children, key=lambda path: natural(path.name)):
            yield from below(child)

    for root in map(Path, roots):
        if not root.is_dir():
            raise ResultsError(f"{root} is not a folder; give a seed folder or any folder above it, such as output")
        yield from below(root)


def natural(text: str) -> list[tuple[int, str]]:
    """A sorting key by which numbers in `text` count as numbers, and case does not."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text.lower())]


def seed_of(folder: PurePath) -> int | None:
    """The seed in the name of a seed folder (`seed1`), None for any other folder."""
    match = re.fullmatch(r"seed_?(-?\d+)", folder.name)
    return int(match[1]) if match else None


def group_of_path(folder: PurePath, base: PurePath) -> dict[str, Any]:
    """The group (see `GROUP`) that a run's path names.

    Two layouts are known, and what stands before them below `base` is the protocol:

    - `<dataset>/shots_<n>/<trainer>/<cfg>/seed<k>`
    - `<dataset>/<trainer>/<cfg>_<n>shots/<variant>/seed<k>` (CoOp), whose cfg is `<cfg>/<variant>` here.

    Args:
        folder: The run's folder, absolute.
        base: The folder that paths in labels are relative to.
    """

    def group(dataset: str, shots: int | None, trainer: str = "", cfg: str = "", protocol: str = "") -> dict[str, Any]:
        return dict(zip(GROUP, (dataset, shots, trainer, cfg, protocol, "test"), strict=True))

    def relative(path: PurePath) -> str:
        return "" if path == base or not path.is_relative_to(base) else path.relative_to(base).as_posix()

    parts = folder.parts
    if seed_of(folder) is not None and len(parts) > 5:
        dataset, second, third, fourth = parts[-5:-1]
        protocol = relative(PurePath(*parts[:-5]))
        if shots := re.fullmatch(r"shots_(-?\d+)", second):
            return group(dataset, int(shots[1]), third, fourth, protocol)
        if cfg := re.fullmatch(r"(.+)_(\d+)shots", third):
            return group(dataset, int(cfg[2]), second, f"{cfg[1]}/{fourth}", protocol)
    experiment = folder if seed_of(folder) is None else folder.parent
    return group(relative(experiment) or experiment.name, None)


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
