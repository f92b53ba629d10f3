"""Where the runs of a sweep read and write."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.clip.loading import load_clip
from lamm.datasets.demo import DemoDataset
from lamm.engine import DATASET_REGISTRY, TRAINER_REGISTRY, build_dataset
from lamm.errors import BackboneError, ConfigError, DataError, LammError, unknown_name
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.arguments import train_parser
from lamm.run.before import earlier_run, require_same_split
from lamm.run.fingerprint import config_hash
from lamm.run.plan import RunPlan, plan_run, trainer_config
from lamm.sweep.grid import Grid, Point, Settings


@dataclass(frozen=True)
class Places:
    """Where runs read and write.

    Attributes:
        root: of the data.
        output: folder that takes the place of `output` in the runs' paths.
        imports: code to load before the trainer is looked up, as `--import` of `train.py` takes it.
    """

    root: Path
    output: Path
    imports: tuple[str, ...] = ()


PLANNED_FOLDER = "output"


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One run of a grid.

    Attributes:
        words: the command line of `train.py`; its paths are absolute.
        folder: the run's folder, as messages name it.
        point: its place in the grid.
        plan: what `train.py` will make of the words.
    """

    words: tuple[str, ...]
    folder: Path
    point: Point
    plan: RunPlan

    @property
    def method(self) -> str:
        """What a table calls it: its trainer, and the variant where there is one."""
        variant = self.point.variant
        return f"{self.plan.trainer} ({variant})" if variant else self.plan.trainer


def planned_runs(grid: Grid, places: Places, extend_cfg: Callable[[CfgNode], None]) -> list[PlannedRun]:
    """Every run of the grid.

    Args:
        grid: what to run.
        places: where.
        extend_cfg: adds the trainers' config keys.

    Raises:
        ConfigError: a mistake in any run's arguments, or two runs in one folder.
    """
    made: dict[Path, PlannedRun] = {}
    for point in grid.points():
        run = _planned(point, grid.settings_of(point.variant), places, extend_cfg)
        if run.folder in made:
            raise ConfigError(f"the grid names {run.folder} twice: give each trainer, data set, shots and seed once")
        made[run.folder] = run
    return list(made.values())


def _planned(point: Point, settings: Settings, places: Places, extend_cfg: Callable[[CfgNode], None]) -> PlannedRun:
    name, _, config = point.trainer.partition("/")
    if name not in TRAINER_REGISTRY.registered_names():
        raise ConfigError(unknown_name("trainer", name, TRAINER_REGISTRY.registered_names()))
    words = ["--trainer", name, "--dataset", point.dataset, "--shots", str(point.shots), "--seed", str(point.seed)]
    words += ["--root", str(places.root.absolute())]
    words += [word for spec in places.imports for word in ("--import", spec)]
    if config:
        words += ["--config-file", str(trainer_config(name, config))]
    pairs = [word for pair in settings.items() for word in pair]
    plan = plan_run(train_parser().parse_args([*words, *pairs]), extend_cfg)
    if not plan.output_dir.is_relative_to(PLANNED_FOLDER):
        raise ConfigError("OUTPUT_DIR can't be set for a grid, whose runs have a folder each: use --output")
    folder = places.output / plan.output_dir.relative_to(PLANNED_FOLDER)
    moved = _in_folder(plan, folder.absolute())
    words += ["--output-dir", str(moved.output_dir)]
    return PlannedRun((*words, *pairs), folder, point, moved)


def _in_folder(plan: RunPlan, folder: Path) -> RunPlan:
    cfg = plan.cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(folder)
    cfg.freeze()
    return replace(plan, cfg=cfg)


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


@dataclass
class States:
    """The runs of a grid by what is left to do.

    Attributes:
        finished: with their results; nothing is left to do.
        begun: to be resumed.
        waiting: not begun.
        problems: one line for each folder that holds another run.
    """

    finished: list[tuple[PlannedRun, RunResults]] = field(default_factory=list)
    begun: list[PlannedRun] = field(default_factory=list)
    waiting: list[PlannedRun] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def states_of(runs: Iterable[PlannedRun], facts: Mapping[str, DataFacts]) -> States:
    """Sort the runs by what is left to do.

    Args:
        runs: of the grid.
        facts: of each run's data set, by `data_key`.
    """
    states = States()
    for run in runs:
        try:
            results = results_of(run, facts[data_key(run.plan)])
        except LammError as error:
            states.problems.append(str(error))
            continue
        if results is None:
            states.waiting.append(run)
        elif results.finished:
            states.finished.append((run, results))
        else:
            states.begun.append(run)
    return states


def results_of(run: PlannedRun, facts: DataFacts) -> RunResults | None:
    """The record of an earlier start of this very run: same config, data root and split.

    Args:
        run: the run.
        facts: of its data set; without its split's hash configs alone are compared.

    Raises:
        LammError: the folder holds another run, or a damaged record.
    """
    file = run.plan.output_dir / RESULTS_FILE
    if facts.split_hash is not None and file.is_file():
        results = RunResults.read(file)
        if results.config_hash == config_hash(run.plan.cfg, facts.split_hash):
            return results
    # Says what differs, key by key; slower.
    earlier = earlier_run(run.plan)
    if facts.split_hash is not None:
        require_same_split(run.plan, earlier, facts)
    return earlier


def missing_weights(runs: Iterable[PlannedRun]) -> list[str]:
    """Load each backbone once; one line for each that can't be had."""
    problems = []
    for name, path in sorted({(run.plan.cfg.MODEL.BACKBONE.NAME, _path(run)) for run in runs}):
        try:
            load_clip(name, path)
        except BackboneError as error:
            problems.append(str(error))
    return problems


def _path(run: PlannedRun) -> str:
    return str(getattr(run.plan.cfg.MODEL.BACKBONE, "PATH", ""))


@dataclass(frozen=True)
class Preparation:
    """A sweep before it starts.

    Attributes:
        runs: all of the grid.
        facts: of each data set, by `data_key`.
        states: the runs by what is left to do.
        problems: one line for each mistake: missing data or weights, folders that hold another run.
    """

    runs: list[PlannedRun]
    facts: dict[str, DataFacts]
    states: States
    problems: list[str]

    @property
    def left(self) -> list[PlannedRun]:
        """Runs without a result."""
        return [*self.states.begun, *self.states.waiting]

    def require_no_problem(self) -> None:
        """Refuse to start with a mistake.

        Raises:
            ConfigError: there is one; it is named, and how many more there are.
        """
        if self.problems:
            more = f" (and {len(self.problems) - 1} more: --dry-run lists them)" if len(self.problems) > 1 else ""
            raise ConfigError(f"{self.problems[0]}{more}")


def prepare(grid: Grid, places: Places, extend_cfg: Callable[[CfgNode], None], dry: bool) -> Preparation:
    """Plan every run and look at what it needs.

    Args:
        grid: what to run.
        places: where runs read and write.
        extend_cfg: adds the trainers' config keys.
        dry: whether demo data are left unmade.

    Raises:
        ConfigError: a mistake in the grid.
    """
    runs = planned_runs(grid, places, extend_cfg)
    facts, problems = facts_of_all(runs, make=not dry)
    states = states_of(runs, facts)
    made = Preparation(runs, facts, states, [*problems, *states.problems])
    made.problems.extend(missing_weights(made.left))
    return made
