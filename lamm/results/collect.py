"""Finds the runs in and below folders."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from lamm.errors import ResultsError
from lamm.results.dassl_log import log_files, newest_result
from lamm.results.groups import Run, RunGroups
from lamm.results.layout import GroupKey, key_from_path, seed_of
from lamm.results.protocols import INCREMENTAL
from lamm.results.run_folders import folders_below
from lamm.results.schema import FILE_NAME, RunResults


def collect(folders: Iterable[str | os.PathLike[str]], test_log: bool = False) -> RunGroups:
    """Find all runs in and below `folders`.

    A run is a folder with `results.json` or, without it, with a `log.txt` of CoOp-family code. A seed folder (`seed1`)
    that holds neither is an unfinished run.

    Args:
        folders: Seed folders, or any folders above them.
        test_log: Whether logs without training count, see `lamm.results.dassl_log.read_log`.

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
    if (folder / FILE_NAME).is_file():
        try:
            return _run_of(folder, RunResults.read(folder / FILE_NAME))
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
    return (folder / FILE_NAME).is_file() or bool(log_files(folder))


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
