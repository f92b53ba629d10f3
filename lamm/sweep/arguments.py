"""The arguments of tools/sweep.py."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamm.commands.parser import Parser, at_least
from lamm.errors import ConfigError, unknown_name
from lamm.run.plan import config_root
from lamm.sweep.grid import LISTS, Grid, override_pairs, read_grid

DEFAULT_GRID = "demo"


class SweepParser(Parser):
    """A parser for whom everything behind `--` is KEY VALUE."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The arguments; `opts` are the words behind `--`."""
        words = list(sys.argv[1:] if args is None else args)
        cut = words.index("--") if "--" in words else len(words)
        parsed = super().parse_args(words[:cut], namespace)
        parsed.opts = words[cut + 1 :]
        return parsed


def sweep_parser() -> Parser:
    """The parser of tools/sweep.py."""
    parser = SweepParser(
        prog="sweep.py",
        description="Trainers x data sets x shots x seeds as one job, then the table of them all.",
        usage="sweep.py [GRID] [options] [-- KEY VALUE ...]",
        epilog="KEY VALUE behind -- are config overrides of every run.",
    )
    _add_grid(parser.add_argument_group("what to run"))
    _add_places(parser.add_argument_group("where and how"))
    _add_slurm(parser.add_argument_group("as a Slurm job array"))
    return parser


def grid_of(arguments: argparse.Namespace) -> Grid:
    """The grid that the arguments name, flags in place of what its file says.

    Raises:
        ConfigError: no such file or variant, or a mistake in it.
    """
    grid = read_grid(_grid_file(arguments.grid)).with_lists(**{name: getattr(arguments, name) for name in LISTS})
    if arguments.quick:
        if arguments.seeds is not None:
            raise ConfigError("--quick and --seeds both choose the seeds: give one of them")
        grid = grid.with_lists(seeds=list(grid.seeds[:1]))
    if arguments.variants is not None:
        grid = grid.with_variants(arguments.variants)
    return replace(grid, last=override_pairs(arguments.opts))


def slurm_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a task of the array asks for, as arguments of `write_array`.

    Raises:
        ConfigError: a further flag that is not NAME=VALUE.
    """
    further = dict(word.removeprefix("--").partition("=")[::2] for word in arguments.slurm_set)
    if not all(name and value for name, value in further.items()):
        raise ConfigError(f"--slurm-set takes NAME=VALUE, such as account=vision, got {' '.join(arguments.slurm_set)}")
    names = ("partition", "minutes", "gpus", "parallel")
    return {**{name: getattr(arguments, f"slurm_{name}") for name in names}, "further": further}


def _grid_file(name: str) -> Path:
    """A grid file by its path, or by its name in configs/sweeps."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    known = {file.stem: file for file in (config_root() / "sweeps").glob("*.yaml")}
    if name not in known:
        raise ConfigError(f"{unknown_name('grid', name, known)}; or give the path of a .yaml file")
    return known[name]


def _add_grid(group: Any) -> None:
    group.add_argument(
        "grid",
        nargs="?",
        default=DEFAULT_GRID,
        metavar="GRID",
        help="grid file, or its name in configs/sweeps (default: %(default)s); the flags below replace its lists",
    )
    group.add_argument("--trainers", nargs="+", metavar="TRAINER", help="names, or TRAINER/CFG for one of its configs")
    group.add_argument("--datasets", nargs="+", metavar="DATASET", help="names of files in configs/datasets")
    group.add_argument("--shots", nargs="+", type=at_least(1), metavar="N", help="training images per class")
    group.add_argument("--seeds", nargs="+", type=at_least(0), metavar="SEED", help="one run each")
    group.add_argument("--quick", action="store_true", help="the first seed alone")
    group.add_argument("--variants", nargs="+", metavar="NAME", help="of the file's variants, those to run")


def _add_places(group: Any) -> None:
    root = Path(os.environ.get("DATA") or "data")
    group.add_argument("--root", type=Path, default=root, help="data root (default: $DATA, else data)")
    group.add_argument("--output", type=Path, default=Path("output"), help="folder of the runs (default: output)")
    group.add_argument("--jobs", type=at_least(1), metavar="N", help="runs at once (default: as many as fit)")
    group.add_argument("--threads", type=at_least(1), metavar="N", help="per run (default: its share of the cores)")
    group.add_argument("--retries", type=at_least(0), default=1, metavar="N", help="of a run that died (default: 1)")
    group.add_argument(
        "--address", default="", metavar="HOST:PORT", help="run on this Ray cluster; local: on a Ray of its own, here"
    )
    group.add_argument("--dry-run", action="store_true", help="show the runs, and how long they are expected to take")
    group.add_argument(
        "--import", dest="imports", action="append", default=[], metavar="FILE_OR_MODULE", help="load more trainers"
    )


def _add_slurm(group: Any) -> None:
    group.add_argument("--slurm", action="store_true", help="submit what is left to do, and end")
    group.add_argument("--slurm-dry-run", action="store_true", help="only write the list of runs and the script")
    group.add_argument("--slurm-folder", type=Path, metavar="DIR", help="of list, script, logs (default: in --output)")
    group.add_argument("--slurm-partition", default="", metavar="NAME", help="default: the cluster's")
    group.add_argument("--slurm-minutes", type=at_least(1), metavar="N", help="limit (default: 3 x the expected time)")
    group.add_argument("--slurm-gpus", type=at_least(0), default=1, metavar="N", help="of a task (default: 1)")
    group.add_argument("--slurm-tasks", type=at_least(1), metavar="N", help="tasks to deal the runs out to")
    group.add_argument("--slurm-parallel", type=at_least(1), default=64, metavar="N", help="tasks at a time, at most")
    group.add_argument("--slurm-set", nargs="+", default=[], metavar="NAME=VALUE", help="more flags of sbatch")
    group.add_argument("--runs", type=Path, metavar="FILE", help="a task's own call: the list of runs")
    group.add_argument("--run-index", type=at_least(0), metavar="K", help="a task's own call: the part to carry out")
