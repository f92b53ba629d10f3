"""Which runs are the few-shot experiment: ordinary training runs on all classes of a data set."""

import re
from collections import Counter
from dataclasses import dataclass

from lamm.errors import ResultsError
from lamm.results.groups import Run, RunGroups
from lamm.results.protocols import EVALUATION, FEW_SHOT, INCREMENTAL
from lamm.results.stored_config import ALL_CLASSES, class_subset, stored_config

PART_OF_CLASSES = "on a part of the classes"
_KINDS = {EVALUATION: "evaluation", INCREMENTAL: "incremental step"}
_SUBSET = re.compile(r"\+(?:DATASET\.)?SUBSAMPLE_CLASSES=([^+/]+)")


@dataclass(frozen=True)
class FewShotRuns:
    """The few-shot experiment, and what else there is.

    Attributes:
        groups: Its runs, the unfinished ones included.
        left_out: Numbers of other runs, by what they are.
    """

    groups: RunGroups
    left_out: dict[str, int]

    @property
    def left_out_line(self) -> str:
        """What is left out, on one line; empty where nothing is."""
        counts = ", ".join(f"{what} ({count})" for what, count in self.left_out.items())
        return f"left out, no few-shot runs on all classes: {counts}" if counts else ""


def few_shot_runs(found: RunGroups) -> FewShotRuns:
    """Take out of all runs those of the few-shot experiment."""
    kept: list[Run] = []
    others: Counter[str] = Counter()
    for runs in found.all.values():
        for run in runs:
            if reason := why_no_few_shot_run(run):
                others[reason] += 1
            else:
                kept.append(run)
    return FewShotRuns(RunGroups(kept), dict(sorted(others.items())))


def require_few_shot_runs(found: RunGroups) -> FewShotRuns:
    """As `few_shot_runs`, where there has to be one.

    Raises:
        ResultsError: There is none, finished or not.
    """
    made = few_shot_runs(found)
    if not made.groups.all:
        raise ResultsError(f"no few-shot run on all classes to show; {made.left_out_line}")
    return made


def why_no_few_shot_run(run: Run) -> str:
    """What a run is that does not belong to the few-shot experiment; empty for one that does.

    A run that only its path tells of, such as a log of other code, belongs to it: its protocol is a part of the path.
    Which classes a run was on, the config's name says or, as far as it can be read, its `config.yaml`.
    """
    if run.key_from_path:
        return ""
    protocol = run.key.protocol.replace("_", "-")
    if protocol != FEW_SHOT:
        return _KINDS.get(protocol, f"protocol {run.key.protocol or 'unknown'}")
    return "" if _subset(run) == ALL_CLASSES else PART_OF_CLASSES


def _subset(run: Run) -> str:
    if named := _SUBSET.search(run.key.cfg):
        return named.group(1)
    try:
        return class_subset(stored_config(run.folder))
    except ResultsError:
        return ALL_CLASSES
