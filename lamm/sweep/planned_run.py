"""From a grid to its runs: each the command line of one `train.py`, planned."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from yacs.config import CfgNode

from lamm.engine import TRAINER_REGISTRY
from lamm.errors import ConfigError
from lamm.run.arguments import train_parser
from lamm.run.config_files import trainer_config
from lamm.run.plan import RunPlan, plan_run
from lamm.suggest import unknown_name
from lamm.sweep.grid import Grid, Point, Settings
from lamm.sweep.places import Places

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
