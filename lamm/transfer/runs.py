"""Training runs and evaluations of their models: which transfer protocol the two belong to, and whether they fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lamm.errors import ResultsError
from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.frame import ALL_CLASSES, load_run, natural
from lamm.results.published import config_of
from lamm.results.schema import EVALUATION, FEW_SHOT, RESULTS_FILE
from lamm.run.fingerprint import flat
from lamm.transfer import BASE, BASE_TO_NEW, CROSS_DATASET, DOMAIN_GENERALIZATION, NEW

TESTED_WITH = ("MODEL", "INPUT.SIZE", "INPUT.INTERPOLATION", "INPUT.PIXEL_MEAN", "INPUT.PIXEL_STD")
"""Config keys, or nodes, that a model's scores depend on beside its checkpoint."""
Run = Any
"""A row of the frame (`itertuples`)."""


def find_transfers(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Find the evaluations (`train.py --eval-only`) in a frame and the runs that they are evaluations of.

    Which protocol an evaluation belongs to, its classes say: `new` of the run's `base` classes; a data set all of whose
    classes the run had; any other data set. Two data sets count whole only, not `base` or `new` of either. A model
    tested on what it was trained on is none of these. `ZeroshotCLIP` loads nothing, so its evaluations go with its
    ordinary runs of the same settings, shots and seed; only with those from which another trainer was evaluated on that
    target, if any was.

    Args:
        frame: Runs, from `lamm.results.load`; a training run that is not among them is read where its evaluation says.

    Returns:
        pairs: Finished evaluations of finished runs, a row each. Columns: `protocol` (one of `PROTOCOLS`); `source`
            (data set of the training run), `shots`, `trainer`, `cfg`, `split`, `backbone` and `seed` of it; `target`
            (the data set's name, `new` for the new classes of the source); `source_accuracy`, `accuracy`,
            `labels_learned` and `labels_from_clip` (missing for a trainer without labels); the folders `source_folder`
            and `folder`.
        problems: One line for each evaluation that is unfinished, or whose training run is.
        left_out: One line for each that has no place in the tables: of a model before its last epoch, of a model on
            another data set where one of the two has only a part of its classes, on another split or with other
            settings than its training run, or of zero-shot CLIP where no model was evaluated.

    Raises:
        ResultsError: A file is damaged.
    """
    for message in frame.damaged[~frame.recorded & (frame.damaged != "")]:
        raise ResultsError(message)
    # In the order of the folders, for of two evaluations of one model the first counts.
    runs = sorted(frame[frame.recorded].itertuples(), key=lambda run: [natural(part) for part in run.folder.parts])
    known = {run.folder.resolve(): run for run in runs}
    pairs: list[dict[str, Any]] = []
    zero_shot: dict[Path, list[dict[str, Any]]] = {}
    problems, left_out = [], []
    for run in (run for run in runs if run.protocol == EVALUATION):
        if run.finished and run.damaged:
            raise ResultsError(run.damaged)
        if not run.finished:
            problems.append(f"unfinished: {run.folder} ({run.unfinished})")
        elif not run.model_dir:
            sources = [source for source in runs if _goes_with_zero_shot(source, run)]
            zero_shot[run.folder] = [pair for source in sources if (pair := _pair(source, run))]
            if not zero_shot[run.folder]:
                reason = f"no ordinary run of {run.trainer} on other data that it goes with"
                if run.subset != ALL_CLASSES:
                    reason = f"a part of the classes ({run.subset} of {run.dataset})"
                left_out.append(f"left out, {reason}: {run.folder}")
        elif run.load_epoch != -1:
            left_out.append(f"left out, an evaluation with --load-epoch {run.load_epoch}: {run.folder}")
        elif (source := _source_of(run, known)) is None or not source.finished:
            state = "is missing" if source is None else "is unfinished"
            problems.append(f"the training run {run.model_dir} of {run.folder} {state}")
        elif reason := _why_unfit(source, run):
            left_out.append(f"left out, {reason}: {run.folder}")
        elif pair := _pair(source, run):
            pairs.append(pair)
    # Zero-shot CLIP stands beside the trained models; where there are none, on sources with its classes, else on any.
    learned = {_place(pair) for pair in pairs}
    for folder, candidates in zero_shot.items():
        if learned:
            fitting = [pair for pair in candidates if _place(pair) in learned]
        else:
            fitting = [pair for pair in candidates if pair["protocol"] != CROSS_DATASET] or candidates
        pairs += fitting
        if candidates and not fitting:
            left_out.append(f"left out, zero-shot CLIP where no model was evaluated: {folder}")
    return pd.DataFrame(pairs), problems, left_out


def _source_of(run: Run, known: Mapping[Path, Run]) -> Run | None:
    """The training run: at its place beside the evaluation, for `output` may have moved, else where the config says."""
    places = [Path(run.model_dir)]
    above = run.folder.absolute().parents  # <output>/evaluation/<dataset>/shots_<n>/<Trainer>/<cfg>/seed<k>
    if len(above) > 5 and above[4].name == "evaluation":
        places.insert(0, above[5].joinpath(*places[0].parts[-5:]))
    for folder in places:
        if (folder / RESULTS_FILE).is_file():
            return known.get(folder.resolve()) or next(load_run(folder).itertuples())
    return None


def _why_unfit(source: Run, run: Run) -> str:
    """Why an evaluation can't be put beside its training run's own test; empty where it can or need not."""
    if source.damaged:
        raise ResultsError(source.damaged)
    if source.split != run.split:
        return f"tested on the {run.split} split, the training run was on {source.split}"
    if differing := differing_settings(source, run):
        return f"other settings than its training run ({', '.join(differing)})"
    parts = [f"{one.subset} of {one.dataset}" for one in (source, run) if one.subset != ALL_CLASSES]
    return f"a part of the classes ({', '.join(parts)})" if source.dataset != run.dataset and parts else ""


def _pair(source: Run, run: Run) -> dict[str, Any] | None:
    """The two by protocol; None where a model is tested on its own classes, or on a part that no protocol has."""
    protocol, target, cfg = BASE_TO_NEW, NEW, source.cfg.replace(f"+SUBSAMPLE_CLASSES={BASE}", "")
    if run.dataset != source.dataset:
        if (source.subset, run.subset) != (ALL_CLASSES, ALL_CLASSES):
            return None
        known = run.class_names and set(run.class_names) <= set(source.class_names)
        protocol, target, cfg = DOMAIN_GENERALIZATION if known else CROSS_DATASET, run.dataset, source.cfg
    elif (source.subset, run.subset) != (BASE, NEW):
        return None
    return {
        **{name: getattr(source, name) for name in ("shots", "trainer", "split", "backbone", "seed")},
        **{"protocol": protocol, "source": source.dataset, "cfg": cfg, "target": target},
        **{"source_accuracy": source.metrics["accuracy"], "accuracy": run.metrics["accuracy"]},
        **{name: run.metrics.get(name) for name in ("labels_learned", "labels_from_clip")},
        **{"source_folder": source.folder, "folder": run.folder},
    }


def _goes_with_zero_shot(source: Run, run: Run) -> bool:
    """Whether `source` is an ordinary run of zero-shot CLIP with the same settings, shots and seed as an evaluation."""
    if source.protocol != FEW_SHOT or not source.finished or run.trainer != ZERO_SHOT_TRAINER:
        return False
    same = all(getattr(source, name) == getattr(run, name) for name in ("trainer", "shots", "seed", "split"))
    if not same or config_of(source.cfg) != config_of(run.cfg):
        return False
    if source.damaged:
        raise ResultsError(source.damaged)
    return not differing_settings(source, run, (*TESTED_WITH, "TRAINER", "DATASET.TEMPLATE"))


def differing_settings(source: Run, run: Run, keys: tuple[str, ...] = TESTED_WITH) -> list[str]:
    """The settings below these keys (nodes, or single ones) that an evaluation has otherwise than its training run."""
    one, other = (flat(which.config) for which in (source, run))
    within = [name for name in {**one, **other} if f"{name}.".startswith(tuple(f"{key}." for key in keys))]
    return [name for name in within if one.get(name) != other.get(name)]


def _place(pair: Mapping[str, Any]) -> tuple[object, ...]:
    return pair["protocol"], pair["source"], pair["shots"], pair["target"]
