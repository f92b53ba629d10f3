"""What a sweep has to know of each data set before it starts: that it is there, its sizes, its split's hash."""

import json
import os
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamm.datasets.demo_dataset import DemoDataset
from lamm.engine import DATASET_REGISTRY, build_dataset
from lamm.errors import DataError
from lamm.run.plan import RunPlan
from lamm.sweep.planned_run import PlannedRun


@dataclass(frozen=True)
class DataFacts:
    """One data set.

    Attributes:
        classes: their number, 0 where it is not known.
        train_images: in the whole training split.
        test_images: in the test split.
        split_hash: fingerprint of the split; None where the data set is not there.
    """

    classes: int
    train_images: int
    test_images: int
    split_hash: str | None


def data_key(plan: RunPlan) -> str:
    """What tells data sets apart: the config's data section without what differs between runs on the same data."""
    section = {key: value for key, value in plan.cfg.DATASET.items() if key != "NUM_SHOTS"}
    return json.dumps(section, sort_keys=True, default=str)


def facts_of_all(runs: Iterable[PlannedRun], make: bool) -> tuple[dict[str, DataFacts], list[str]]:
    """Look at each data set once.

    Args:
        runs: whose data sets to look at.
        make: whether to make demo data that are not there yet.

    Returns:
        Facts by `data_key`, and one line for each data set that is missing or broken.
    """
    facts: dict[str, DataFacts] = {}
    problems = []
    for run in runs:
        key = data_key(run.plan)
        if key not in facts:
            try:
                facts[key] = _expected(run.plan) if _to_be_made(run.plan) and not make else facts_of(run.plan)
            except DataError as error:
                facts[key] = _expected(run.plan)
                problems.append(str(error))
    return facts, problems


def facts_of(plan: RunPlan) -> DataFacts:
    """Facts of the data set itself; it is built whole, so that no shots are drawn for it.

    Raises:
        DataError: it is missing or broken.
    """
    cfg = plan.cfg.clone()
    cfg.defrost()
    cfg.DATASET.NUM_SHOTS = -1
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        dataset = build_dataset(cfg)
    split_hash = getattr(dataset, "split_hash", "")
    return DataFacts(dataset.num_classes, len(dataset.train_x), len(dataset.test), split_hash)


def _expected(plan: RunPlan) -> DataFacts:
    """Facts that are known without the data."""
    registered = DATASET_REGISTRY.get(plan.cfg.DATASET.NAME)
    if _makes_itself(registered):
        split, _ = registered.content()
        return DataFacts(len({item.label for item in split.train}), len(split.train), len(split.test), None)
    train, _, test = getattr(registered, "expected_sizes", None) or (0, 0, 0)
    return DataFacts(getattr(registered, "expected_classes", 0), train, test, None)


def _to_be_made(plan: RunPlan) -> bool:
    registered = DATASET_REGISTRY.get(plan.cfg.DATASET.NAME)
    return _makes_itself(registered) and not (Path(plan.cfg.DATASET.ROOT) / registered.dataset_dir).exists()


def _makes_itself(registered: Any) -> bool:
    return isinstance(registered, type) and issubclass(registered, DemoDataset)
