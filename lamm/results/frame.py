"""All runs below some folders as one pandas DataFrame, a row per run, and what is wrong with them."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lamm.errors import ResultsError
from lamm.reading import json_value, read_bytes, read_yaml
from lamm.results.published import known_datasets
from lamm.results.schema import EVALUATION, FEW_SHOT, INCREMENTAL, RESULTS_FILE, RunResults
from lamm.results.unrecorded import GROUP, folders_below, group_of_path, log_files, natural, newest_result, seed_of

PART_OF_CLASSES = "on a part of the classes"
ALL_CLASSES = "all"
CONFIG_FILE = "config.yaml"
_KINDS = {FEW_SHOT: FEW_SHOT, EVALUATION: "evaluation", INCREMENTAL: "incremental step"}
_DTYPES = {
    **dict.fromkeys(("shots", "seed", "trainable_parameters", "load_epoch", "steps", "step"), "Int64"),
    **dict.fromkeys(("seconds_train", "peak_memory_mb", "accuracy", "error_rate", "macro_f1"), "float64"),
    **dict.fromkeys(("finished", "from_path", "recorded", "split_made_here", "seen_as_negatives"), "bool"),
}


def load(
    *folders: str | os.PathLike[str], test_log: bool = False, details: bool = True, trainers: Iterable[str] = ()
) -> pd.DataFrame:
    """Read all runs in and below folders.

    A run is a folder with `results.json` or, without it, with a `log.txt` of CoOp-family code. A seed folder (`seed1`)
    that holds neither is an unfinished run. Rows are in natural order (2 before 10) of data set, shots, trainer,
    config, protocol, split, seed and folder.

    Columns:

    - `folder`: where the run lies (a `Path`).
    - `dataset`, `shots`, `trainer`, `cfg`, `protocol`, `split`: the experiment, see `GROUP` and `RunResults`. Where
      the path is of no known layout, `dataset` is the path, `shots` is missing and the others are empty.
    - `seed`: missing where neither a file nor the folder's name says it; -1 for an unseeded run.
    - `finished`: whether there is a result; `unfinished`: if not, why (empty for a finished run).
    - `from_path`: whether the experiment was read off the path, for want of a `results.json` there or beside it.
    - `kind`: `few-shot`, `evaluation`, `incremental step`, `on a part of the classes` or `protocol …`.
    - `accuracy`, `error_rate`, `macro_f1` in percent, and a column for each further metric of any run, such as
      `set1_accuracy` or `labels_from_clip`; missing where a run lacks it. `metrics` has them as a dict.
    - `trainable_parameters`, `seconds_train`, `peak_memory_mb` (MiB), `precision`, `config_hash`, `engine`, and
      `versions` (a dict: package → version).
    - Of `config.yaml`: `config` (a dict; empty where there is none), `backbone`, `data_root`, `subset` (`all`, `base`
      or `new` classes), `model_dir` and `load_epoch` (what an evaluation tested; `model_dir` is empty and `load_epoch`
      missing for other runs, and -1 is the last epoch), `steps` and `seen_as_negatives` (of class-incremental runs),
      and `step`, which is in the name of the config.
    - Of `classes.json`: `class_names` (a tuple, empty where it isn't known) and `split_made_here` (whether the data
      set was split by us, for want of the published split).
    - `recorded`: whether there is a `results.json` that can be read; `damaged`: which of the three files can't be read,
      and why; else empty.

    Args:
        folders: Seed folders, or any folders above them.
        test_log: Whether logs without training count, see `lamm.results.unrecorded.read_log`.
        details: Whether to read `config.yaml` and `classes.json`; without them, their columns are empty, and `kind`
            goes by the name of the config alone.
        trainers: Those to keep; empty: all.

    Raises:
        ResultsError: A folder does not exist or can't be read, or there is no run in any.
    """
    roots = [Path(folder) for folder in folders]
    below = list(folders_below(roots))
    base = Path(os.path.commonpath([os.path.abspath(root) for root in roots])) if roots else Path()
    rows = [row for folder in below if (row := _row(folder, base, test_log))]
    if not rows:
        raise ResultsError(f"no results.json and no log.txt in or below {', '.join(map(str, roots)) or 'no folder'}")
    return _frame(rows, details, set(trainers))


def load_run(folder: Path) -> pd.DataFrame:
    """The frame of the one run whose `results.json` is in `folder`.

    Raises:
        ResultsError: The file is missing or damaged.
    """
    return _frame([_recorded(folder, RunResults.read(folder / RESULTS_FILE))], details=True, trainers=set())


def _frame(rows: list[dict[str, Any]], details: bool, trainers: set[str]) -> pd.DataFrame:
    _name_after_siblings(rows)
    rows = sorted((row for row in rows if not trainers or row["trainer"] in trainers), key=_order)
    for row in rows:
        row.update({**_details(row["folder"] if details else None), **row})
        step = re.search(r"/step(\d+)$", row["cfg"])
        row |= {"step": int(step[1]) if step else None, "kind": _kind(row), **row["metrics"]}
    empty = {"folder": Path(), "trainer": "", **_unrecorded(Path(), dict.fromkeys(GROUP), None), **_details(None)}
    names = dict.fromkeys([*empty, "step", "kind", *_DTYPES, *(name for row in rows for name in row)])
    frame = pd.DataFrame(rows, columns=list(names))
    return frame.astype(_DTYPES)


def _row(folder: Path, base: Path, test_log: bool) -> dict[str, Any] | None:
    """What the run in `folder` says of itself, None when there is no run."""
    place = Path(os.path.abspath(folder))
    row = _unrecorded(folder, group_of_path(place, base), seed_of(place))
    if (folder / RESULTS_FILE).is_file():
        try:
            return _recorded(folder, RunResults.read(folder / RESULTS_FILE))
        except ResultsError as error:
            return row | {"unfinished": str(error), "damaged": str(error)}
    if logs := log_files(folder):
        if result := newest_result(folder, test_log):
            return row | {"split": result.split, "metrics": result.metrics, "finished": True}
        reason = f"no final result after training in {logs[0].name}"
        if newest_result(folder, test_log=True):
            reason += "; --test-log reads logs of evaluations alone"
        return row | {"unfinished": reason}
    if row["seed"] is not None and not any(
        (one / RESULTS_FILE).is_file() or log_files(one) for one in folders_below([folder])
    ):
        return row | {"unfinished": "no results.json"}
    return None


def _recorded(folder: Path, results: RunResults) -> dict[str, Any]:
    """The row of a run with a `results.json`."""
    names = [*GROUP, "seed", "metrics", "trainable_parameters", "seconds_train", "peak_memory_mb", "precision"]
    return {
        "folder": folder,
        **{name: getattr(results, name) for name in (*names, "config_hash", "versions")},
        "engine": results.versions.get("engine", ""),
        "finished": results.finished,
        "unfinished": "" if results.finished else f"its results.json says {results.status}",
        "from_path": False,
        "recorded": True,
    }


def _unrecorded(folder: Path, group: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """The row of a run that nothing but its path tells of."""
    return {
        **{"folder": folder, **group, "seed": seed, "metrics": {}},
        **dict.fromkeys(("trainable_parameters", "seconds_train", "peak_memory_mb")),
        **{"precision": "", "config_hash": "", "versions": {}, "engine": ""},
        **{"finished": False, "unfinished": "", "from_path": True, "recorded": False},
    }


def _details(folder: Path | None) -> dict[str, Any]:
    """What `config.yaml` and `classes.json` say; nothing for no folder."""
    damaged, config, classes = "", {}, {}
    if folder is not None:
        try:
            config, classes = _stored_config(folder), _stored_classes(folder)
        except ResultsError as error:
            damaged = str(error)
    model, dataset, evaluation, incremental = (
        node if isinstance(node := config.get(name), dict) else {}
        for name in ("MODEL", "DATASET", "EVALUATION", "INCREMENTAL")
    )
    model_dir = evaluation.get("MODEL_DIR") or ""
    backbone = model.get("BACKBONE")
    return {
        "config": config,
        "backbone": str(backbone.get("NAME", "")) if isinstance(backbone, dict) else "",
        "data_root": str(dataset.get("ROOT", "")),
        "subset": str(dataset.get("SUBSAMPLE_CLASSES", ALL_CLASSES)),
        "model_dir": model_dir,
        "load_epoch": evaluation.get("LOAD_EPOCH", -1) if model_dir else None,
        "steps": incremental.get("STEPS") or None,
        "seen_as_negatives": bool(incremental.get("SEEN_AS_NEGATIVES")),
        "class_names": tuple(classes.get("class_names", ())),
        "split_made_here": classes.get("split_made_here") is True,
        "damaged": damaged,
    }


def _stored_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    try:
        content = read_yaml(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ResultsError(f"{file} can't be read ({type(error).__name__}); run that seed again") from error
    return content if isinstance(content, dict) else {}


def _stored_classes(folder: Path) -> dict[str, Any]:
    # `lamm.run.record.RunClasses` writes this file; it needs torch, which is slow to import.
    file = folder / "classes.json"
    try:
        content = json_value(read_bytes(file))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ResultsError(f"{file} can't be read ({type(error).__name__}): run that seed again") from error
    if not isinstance(content, dict) or not isinstance(content.get("class_names"), list):
        raise ResultsError(f"{file} is damaged: it must hold lists of class_names and templates")
    return content


def _kind(row: dict[str, Any]) -> str:
    """What a run belongs to.

    A run that only its path tells of, such as a log of other code, is a few-shot run: its protocol is a part of the
    path. Which classes a run was on, the config's name says or, as far as it can be read, its `config.yaml`.
    """
    if row["from_path"]:
        return FEW_SHOT
    protocol = row["protocol"].replace("_", "-")
    kind = _KINDS.get(protocol, f"protocol {row['protocol'] or 'unknown'}")
    named = re.search(r"\+(?:DATASET\.)?SUBSAMPLE_CLASSES=([^+/]+)", row["cfg"])
    subset = named[1] if named else row["subset"]
    return PART_OF_CLASSES if kind == FEW_SHOT and subset != ALL_CLASSES else kind


def _name_after_siblings(rows: Sequence[dict[str, Any]]) -> None:
    """Put a run that only its path tells of into the group that the `results.json` beside it name, if they name one.

    Steps of class-incremental learning lie beside each other too, but each is a group of its own.
    """

    def parent(row: dict[str, Any]) -> str:
        return os.path.dirname(os.path.abspath(row["folder"]))

    groups: dict[str, set[tuple[Any, ...]]] = {}
    for row in rows:
        if not row["from_path"] and row["protocol"] != INCREMENTAL:
            groups.setdefault(parent(row), set()).add(tuple(row[name] for name in GROUP))
    for row in rows:
        beside = groups.get(parent(row), set()) if row["from_path"] else set()
        if len(beside) == 1:
            row.update(zip(GROUP, next(iter(beside)), strict=True))
            row["from_path"] = False


def _order(row: dict[str, Any]) -> tuple[object, ...]:
    shots, seed = row["shots"], row["seed"]
    names = [natural(row[name]) for name in ("trainer", "cfg", "protocol", "split")]
    place = (seed is None, seed or 0, natural(str(row["folder"])))
    return (natural(row["dataset"]), shots is not None, shots or 0, *names, *place)


def problems(frame: pd.DataFrame, seeds: Iterable[int] | None = None) -> list[str]:
    """One line for each run that is unfinished, missing or there twice, and for each mean over several engines.

    Args:
        frame: Runs, the unfinished ones included.
        seeds: The seeds that each group must have. Without them, a group on a data set of the paper or demo data must
            have all seeds that any such group has which differs in the data set alone.
    """
    unfinished = frame[~frame.finished]
    lines = [f"unfinished: {run.folder} ({run.unfinished})" for run in unfinished.itertuples()]
    comparable = frame[frame.dataset.isin(known_datasets())]
    peers = comparable.groupby(GROUP[1:]).seed.agg(lambda some: set(some.dropna())).to_dict()
    for group, runs in frame.groupby(GROUP, sort=False, dropna=False):
        known = set(seeds or ())
        if seeds is None and group[0] in known_datasets():
            known = peers.get(group[1:], set())
        lines += [f"missing: seed {seed} of {describe(*group)}" for seed in sorted(known - set(runs.seed))]
    for group, runs in frame[frame.finished].groupby(GROUP, sort=False, dropna=False):
        for seed, same in runs.groupby("seed", sort=False, dropna=False).folder:
            name = None if pd.isna(seed) else seed
            for folder in same.iloc[1:]:
                where = f"{same.iloc[0]} and {folder}"
                lines.append(f"there twice, and counted twice: seed {name} of {describe(*group)} in {where}")
    return lines + several_engines(frame)


def several_engines(frame: pd.DataFrame, by: Sequence[str] = GROUP) -> list[str]:
    """One line for each group of finished runs that different engines computed.

    The same seed shows the images in another order on another engine, so that the numbers differ.

    Args:
        frame: Runs, from `load`.
        by: What the runs of a group have in common.
    """
    runs = frame[frame.finished & (frame.engine != "")]
    lines = []
    for _, some in runs.groupby(list(by), sort=False, dropna=False):
        names = sorted({engine.split()[0] for engine in some.engine})
        if len(names) > 1:
            group = describe(*(some[name].iloc[0] if name in by else "" for name in GROUP))
            lines.append(f"a mean over runs of several engines ({', '.join(names)}): {group}")
    return lines


def describe(dataset: str, shots: Any, trainer: str, cfg: str, protocol: str = "", split: str = "") -> str:
    """A group on one line: `digits, 16 shots, LAMM, tiny_ep50`; shots may be missing, the split is not shown."""
    words = "" if pd.isna(shots) else shots_in_words(shots)
    return ", ".join(part for part in (dataset, words, trainer, cfg, protocol) if part)


def shots_in_words(shots: int) -> str:
    """`1 shot`, `16 shots`, `all shots`."""
    return f"{shots} shot{'' if shots == 1 else 's'}" if shots >= 1 else "all shots"
