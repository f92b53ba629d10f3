"""Finds the runs in and below folders."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import yaml

from lamm.errors import ResultsError
from lamm.results.schema import INCREMENTAL, RESULTS_FILE, RunResults

_SEED = re.compile(r"seed_?(-?\d+)")
_SHOTS = re.compile(r"shots_(-?\d+)")
_CFG_SHOTS = re.compile(r"(.+)_(\d+)shots")


class GroupKey(NamedTuple):
    """What runs that differ in nothing but the seed have in common.

    `shots` is None, and `trainer` and `cfg` are empty, where a path is of no known layout; `dataset` is then the path.
    """

    dataset: str
    shots: int | None
    trainer: str
    cfg: str
    protocol: str
    split: str


def seed_of(folder: PurePath) -> int | None:
    """The seed in the name of a seed folder (`seed1`), None for any other folder."""
    match = _SEED.fullmatch(folder.name)
    return int(match.group(1)) if match else None


def key_from_path(folder: PurePath, base: PurePath, split: str = "test") -> GroupKey:
    """The group that a run's path names.

    Two layouts are known, and what stands before them below `base` is the protocol:

    - `<dataset>/shots_<n>/<trainer>/<cfg>/seed<k>`
    - `<dataset>/<trainer>/<cfg>_<n>shots/<variant>/seed<k>` (CoOp), whose cfg is `<cfg>/<variant>` here.

    Args:
        folder: The run's folder, absolute.
        base: The folder that paths in labels are relative to.
        split: What the metrics were measured on.
    """
    parts = folder.parts
    if seed_of(folder) is not None and len(parts) > 5:
        dataset, second, third, fourth = parts[-5:-1]
        protocol = _relative(PurePath(*parts[:-5]), base)
        if shots := _SHOTS.fullmatch(second):
            return GroupKey(dataset, int(shots.group(1)), third, fourth, protocol, split)
        if cfg := _CFG_SHOTS.fullmatch(third):
            return GroupKey(dataset, int(cfg.group(2)), second, f"{cfg.group(1)}/{fourth}", protocol, split)
    experiment = folder if seed_of(folder) is None else folder.parent
    return GroupKey(_relative(experiment, base) or experiment.name, None, "", "", "", split)


def _relative(path: PurePath, base: PurePath) -> str:
    """`path` below `base`, empty when it is `base` or not below it."""
    if path == base or not path.is_relative_to(base):
        return ""
    return path.relative_to(base).as_posix()


def shots_in_words(shots: int) -> str:
    """`1 shot`, `16 shots`, `all shots`."""
    return f"{shots} shot{'' if shots == 1 else 's'}" if shots >= 1 else "all shots"


@dataclass(frozen=True)
class Run:
    """One run that was found.

    Attributes:
        folder: Where it lies.
        key: The group it belongs to.
        seed: Its seed, None when neither a file nor the folder's name says it.
        key_from_path: Whether `key` was read off the path, for want of a results.json there or beside it that says it.
        unfinished: Why it has no result; empty for a finished run.
        metrics: Percent by name, see `lamm.results.schema`; a log may have fewer.
        trainable_parameters: Number of trained scalars, None when not known.
        seconds_train: Seconds of training, None when not known.
    """

    folder: Path
    key: GroupKey
    seed: int | None
    key_from_path: bool = False
    unfinished: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    trainable_parameters: int | None = None
    seconds_train: float | None = None


Groups = dict[GroupKey, list[Run]]


class RunGroups:
    """Runs by group; the groups, and the runs within them, are sorted naturally (2 before 10).

    Attributes:
        all: Every group with every run, the unfinished ones included.
        finished: The groups with their finished runs alone; a group without any is left out.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        """Group `runs`."""
        self.all: Groups = {}
        self.finished: Groups = {}
        for run in sorted(runs, key=_order):
            self.all.setdefault(run.key, []).append(run)
            if not run.unfinished:
                self.finished.setdefault(run.key, []).append(run)

    def problems(self, seeds: Sequence[int] | None = None) -> list[str]:
        """One line for each run that is unfinished, missing, or there twice.

        Args:
            seeds: The seeds that each group must have. Without them, a group must have all seeds that any group of the
                same trainer and number of shots has.
        """
        return [*self._unfinished(), *self._missing(seeds), *self._twice()]

    def _unfinished(self) -> Iterator[str]:
        for runs in self.all.values():
            for run in runs:
                if run.unfinished:
                    yield f"unfinished: {run.folder} ({run.unfinished})"

    def _missing(self, seeds: Sequence[int] | None) -> Iterator[str]:
        for key, runs in self.all.items():
            expected = self._seeds_of_peers(key) if seeds is None else set(seeds)
            for seed in sorted(expected - {run.seed for run in runs}):
                yield f"missing: seed {seed} of {describe(key)}"

    def _seeds_of_peers(self, key: GroupKey) -> set[int]:
        if key.shots is None:
            return set()
        peers = [runs for peer, runs in self.all.items() if (peer.shots, peer.trainer) == (key.shots, key.trainer)]
        return {run.seed for runs in peers for run in runs if run.seed is not None}

    def _twice(self) -> Iterator[str]:
        for key, runs in self.finished.items():
            first: dict[int | None, Path] = {}
            for run in runs:
                if run.seed in first:
                    where = f"{first[run.seed]} and {run.folder}"
                    yield f"there twice, and counted twice: seed {run.seed} of {describe(key)} in {where}"
                first.setdefault(run.seed, run.folder)


def describe(key: GroupKey) -> str:
    """A group on one line: `digits, 16 shots, LAMM, tiny_ep50`."""
    shots = "" if key.shots is None else shots_in_words(key.shots)
    return ", ".join(part for part in (key.dataset, shots, key.trainer, key.cfg, key.protocol) if part)


def natural(text: str) -> list[tuple[int, str]]:
    """A sorting key by which numbers in `text` count as numbers, and case does not."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text.lower())]


def _order(run: Run) -> tuple[object, ...]:
    key = run.key
    shots = (key.shots is not None, key.shots or 0)
    names = [natural(name) for name in (key.trainer, key.cfg, key.protocol, key.split)]
    return (natural(key.dataset), shots, *names, run.seed is None, run.seed or 0, natural(str(run.folder)))


def folders_below(roots: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Folders and all folders below them, each once, hidden ones left out; links are followed.

    Raises:
        ResultsError: A folder does not exist or can't be read.
    """
    seen: set[Path] = set()
    for root in map(Path, roots):
        if not root.is_dir():
            raise ResultsError(f"{root} is not a folder; give a seed folder or any folder above it, such as output")
        yield from _below(root, seen)


def _below(root: Path, seen: set[Path]) -> Iterator[Path]:
    real = root.resolve()
    if real in seen:
        return
    seen.add(real)
    yield root
    try:
        children = [child for child in root.iterdir() if child.is_dir() and not child.name.startswith(".")]
    except OSError as error:
        raise ResultsError(f"can't read the folder {root}: {error.strerror}") from error
    for child in sorted(children, key=lambda path: natural(path.name)):
        yield from _below(child, seen)


TRAINING_SIGNALS = ("Finish training", "Finished training")
TEST_SIGNALS = ("=> result",)
PATTERNS = {
    "accuracy": re.compile(r"\* accuracy: ([\.\deE+-]+)%"),
    "error_rate": re.compile(r"\* error: ([\.\deE+-]+)%"),
    "macro_f1": re.compile(r"\* macro_f1: ([\.\deE+-]+)%"),
}
_SPLIT = re.compile(r"Evaluate on the \*(\w+)\* set")
_LOG_NAME = re.compile(r"log\.txt(-\d[\d-]*)?")


@dataclass(frozen=True)
class LogResult:
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
            if said := _SPLIT.search(line):
                split = said.group(1)
            for name, pattern in PATTERNS.items():
                if at_the_end and (match := pattern.search(line)):
                    with suppress(ValueError):
                        metrics[name] = float(match.group(1))
    return LogResult(metrics, split) if "accuracy" in metrics else None


def newest_result(folder: Path, test_log: bool = False) -> LogResult | None:
    """The result of the newest log in `folder` that has one, or None."""
    for file in log_files(folder):
        if result := read_log(file, test_log):
            return result
    return None


def collect(folders: Iterable[str | os.PathLike[str]], test_log: bool = False) -> RunGroups:
    """Find all runs in and below `folders`.

    A run is a folder with `results.json` or, without it, with a `log.txt` of CoOp-family code. A seed folder (`seed1`)
    that holds neither is an unfinished run.

    Args:
        folders: Seed folders, or any folders above them.
        test_log: Whether logs without training count, see `lamm.results.collect.read_log`.

    Raises:
        ResultsError: A folder does not exist or can't be read, or there is no run in any.
    """
    roots = [Path(folder) for folder in folders]
    below = list(folders_below(roots))
    base = Path(os.path.commonpath([os.path.abspath(root) for root in roots])) if roots else Path()
    runs = [run for folder in below if (run := _read(folder, base, test_log))]
    if not runs:
        raise ResultsError(f"no results.json and no log.txt in or below {', '.join(map(str, roots)) or 'no folder'}")
    return RunGroups(_with_keys_of_siblings(runs))


def _read(folder: Path, base: Path, test_log: bool) -> Run | None:
    """The run in `folder`, None when there is none."""
    place = Path(os.path.abspath(folder))
    key, seed = key_from_path(place, base), seed_of(place)
    if (folder / RESULTS_FILE).is_file():
        try:
            return _run_of(folder, RunResults.read(folder / RESULTS_FILE))
        except ResultsError as error:
            return Run(folder, key, seed, key_from_path=True, unfinished=str(error))
    if logs := log_files(folder):
        if result := newest_result(folder, test_log):
            return Run(folder, key._replace(split=result.split), seed, key_from_path=True, metrics=result.metrics)
        reason = f"no final result after training in {logs[0].name}"
        if newest_result(folder, test_log=True):
            reason += "; --test-log reads logs of evaluations alone"
        return Run(folder, key, seed, key_from_path=True, unfinished=reason)
    if seed is not None and not any(map(_holds_run, folders_below([folder]))):
        return Run(folder, key, seed, key_from_path=True, unfinished="no results.json")
    return None


def _holds_run(folder: Path) -> bool:
    return (folder / RESULTS_FILE).is_file() or bool(log_files(folder))


def _run_of(folder: Path, results: RunResults) -> Run:
    key = GroupKey(
        results.dataset, results.shots, results.trainer, results.cfg, protocol=results.protocol, split=results.split
    )
    return Run(
        folder=folder,
        key=key,
        seed=results.seed,
        unfinished="" if results.finished else f"its results.json says {results.status}",
        metrics=results.metrics,
        trainable_parameters=results.trainable_parameters,
        seconds_train=results.seconds_train,
    )


def _with_keys_of_siblings(runs: list[Run]) -> Iterator[Run]:
    """Give a run whose group only its path tells the group that the results.json beside it name, if they name one.

    Steps of class-incremental learning lie beside each other too, but each is a group of its own.
    """
    told: dict[str, set[GroupKey]] = {}
    for run in runs:
        if not run.key_from_path and run.key.protocol != INCREMENTAL:
            told.setdefault(_parent(run), set()).add(run.key)
    for run in runs:
        keys = told.get(_parent(run), set()) if run.key_from_path else set()
        yield replace(run, key=next(iter(keys)), key_from_path=False) if len(keys) == 1 else run


def _parent(run: Run) -> str:
    return os.path.dirname(os.path.abspath(run.folder))


CONFIG_FILE = "config.yaml"
ALL_CLASSES = "all"
_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def stored_config(folder: Path) -> dict[str, Any]:
    """The stored config, empty where there is none.

    Raises:
        ResultsError: It is damaged.
    """
    file = folder / CONFIG_FILE
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_YAML)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ResultsError(f"{file} can't be read ({type(error).__name__}); run that seed again") from error
    return content if isinstance(content, dict) else {}


def class_subset(config: dict[str, Any]) -> str:
    """Which part of the classes a config asks for: `all`, `base` or `new`."""
    node = config.get("DATASET")
    return str(node.get("SUBSAMPLE_CLASSES", ALL_CLASSES)) if isinstance(node, dict) else ALL_CLASSES
