"""`lamm.sweep.runs` and `data_facts`: what is left to do is told from the folders, as train.py itself would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamm.files import write_json
from lamm.results.schema import RESULTS_FILE, RUNNING, RunResults
from lamm.run.fingerprint import CONFIG_FILE, store_config
from lamm.sweep.grid import Grid
from lamm.sweep.runs import DataFacts, Places, PlannedRun, States, data_key, facts_of_all, states_of
from tests.sweep.test_planned_runs import GRID, planned
from tests.train_command import train

SETTINGS = {"OPTIM.MAX_EPOCH": "1", "TEST.SPLIT": "val"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, Places]:
    """A grid of one run that train.py has finished."""
    place = tmp_path_factory.mktemp("sweep")
    grid, places = replace(GRID, trainers=("ZeroshotCLIP",), last=SETTINGS), Places(place / "data", place / "output")
    (run,) = planned(grid, places.root, output=places.output)
    outcome = train(" ".join(run.words))
    assert outcome.code == 0, outcome.err
    return grid, places


def look(grid: Grid, places: Places, split_hash: str | None = None) -> States:
    runs = planned(grid, places.root, output=places.output)
    facts, _ = facts_of_all(runs, make=False)
    if split_hash is not None:
        facts = {key: replace(of, split_hash=split_hash) for key, of in facts.items()}
    return states_of(runs, facts)


@contextmanager
def altered(run: PlannedRun, **changes: Any) -> Iterator[None]:
    """The run's record with other values, and whatever else the block writes, for a while."""
    files = [run.plan.output_dir / name for name in (RESULTS_FILE, CONFIG_FILE)]
    kept = [file.read_bytes() for file in files]
    replace(RunResults.read(files[0]), **changes).write(files[0])
    try:
        yield
    finally:
        for file, content in zip(files, kept, strict=True):
            file.write_bytes(content)


def test_a_run_that_train_py_finished_is_finished(done: tuple[Grid, Places]) -> None:
    states = look(*done)
    ((_, results),) = states.finished
    assert results.metrics["accuracy"] > 0
    assert (states.begun, states.waiting, states.problems) == ([], [], [])


def test_runs_that_are_not_there_wait(done: tuple[Grid, Places]) -> None:
    grid, places = done
    states = look(replace(grid, seeds=(1, 2)), places)
    assert [run.point.seed for run in states.waiting] == [2]
    assert len(states.finished) == 1


def test_a_run_that_was_broken_off_has_begun(done: tuple[Grid, Places]) -> None:
    ((run, _),) = look(*done).finished
    with altered(run, status=RUNNING):
        assert look(*done).begun[0].folder == run.folder


def test_a_folder_with_another_config_is_a_problem_that_names_the_key(done: tuple[Grid, Places]) -> None:
    ((run, _),) = look(*done).finished
    cfg = run.plan.cfg.clone()
    cfg.defrost()
    cfg.OPTIM.LR = 7.0
    with altered(run, config_hash="f" * 16):
        store_config(cfg, run.plan.output_dir)
        states = look(*done)
    assert "holds a run with another config (OPTIM.LR: 7.0 →" in states.problems[0]
    assert states.finished == []


def test_a_run_on_another_split_is_a_problem(done: tuple[Grid, Places]) -> None:
    assert "holds a run on another split of the data" in look(*done, split_hash="other").problems[0]


def test_without_the_data_the_configs_alone_are_compared(done: tuple[Grid, Places]) -> None:
    grid, places = done
    runs = planned(grid, places.root, output=places.output)
    facts = {data_key(run.plan): DataFacts(10, 0, 0, None) for run in runs}
    assert len(states_of(runs, facts).finished) == 1


def test_a_damaged_record_is_a_problem(tmp_path: Path) -> None:
    (run,) = runs = planned(GRID, output=tmp_path)
    write_json(run.plan.output_dir / RESULTS_FILE, {"schema_version": 1})
    store_config(run.plan.cfg, run.plan.output_dir)
    assert "lacks trainer" in states_of(runs, {data_key(run.plan): DataFacts(10, 0, 0, "x")}).problems[0]


def test_demo_data_are_made_only_where_that_is_wanted(tmp_path: Path) -> None:
    runs = planned(GRID, tmp_path / "data")
    (unmade,) = facts_of_all(runs, make=False)[0].values()
    assert (unmade.classes, unmade.split_hash) == (10, None)
    assert not (tmp_path / "data").exists()
    (made,) = facts_of_all(runs, make=True)[0].values()
    assert replace(made, split_hash=None) == unmade
    assert made.split_hash


def test_missing_data_are_one_line_and_known_sizes_stand_in(tmp_path: Path) -> None:
    runs = planned(replace(GRID, datasets=("caltech101",), seeds=(1, 2)), tmp_path)
    facts, problems = facts_of_all(runs, make=True)
    assert len(problems) == 1
    assert problems[0].startswith("Caltech101: no folder")
    assert [of.classes for of in facts.values()] == [100]
