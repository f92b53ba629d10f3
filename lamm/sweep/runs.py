"""The runs of a sweep: their command lines, their data and weights, what is done, and what the rest will take."""

import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from yacs.config import CfgNode

from lamm.clip.sources import weights_of
from lamm.datasets.demo import DemoDataset
from lamm.engine import DATASET_REGISTRY, TRAINER_REGISTRY, build_dataset
from lamm.errors import BackboneError, ConfigError, DataError, LammError, ResultsError, unknown_name
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.arguments import require_no_folder, train_parser
from lamm.run.before import earlier_run, require_same_split, require_weights
from lamm.run.fingerprint import config_hash
from lamm.run.plan import RunPlan, changed_config, plan_run, trainer_config
from lamm.sweep.grid import Grid

PLANNED_FOLDER = "output"
LOG_FILE = "stdout.txt"
MIB = 2**20


@dataclass(eq=False)
class SweepRun:
    """One run of a sweep.

    Attributes:
        words: the command line of `train.py`; its paths are absolute.
        folder: the run's folder, as messages name it.
        output_dir: the same, absolute.
        method: what a table calls it: its trainer, and the variant where there is one.
        dataset: its data set.
        cfg: name of its config, with overrides.
        shots: training images per class.
        seed: its seed.
        seconds: that it is expected to take; None: unknown.
        results: the record that an earlier start left; None: it has not begun.
    """

    words: tuple[str, ...]
    folder: str
    output_dir: str
    method: str
    dataset: str
    cfg: str
    shots: int
    seed: int
    seconds: float | None = None
    results: RunResults | None = None

    @property
    def kind(self) -> Path:
        """What it has in common with other seeds: data set, shots, trainer and config, all named by the folder."""
        return Path(self.output_dir).parent

    @property
    def log(self) -> str:
        """File that its output goes to, absolute."""
        return str(Path(self.output_dir) / LOG_FILE)

    @property
    def begun(self) -> bool:
        """Whether an earlier start was broken off."""
        return self.results is not None and not self.results.finished

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.results is not None and self.results.finished


def prepare(
    grid: Grid,
    root: Path,
    output: Path,
    imports: Sequence[str],
    extend_cfg: Callable[[CfgNode], None],
    dry: bool = False,
) -> tuple[list[SweepRun], list[str]]:
    """Plan every run and look at what it needs.

    Args:
        grid: what to run.
        root: of the data.
        output: folder that takes the place of `output` in the runs' paths.
        imports: code to load before the trainer is looked up, as `--import` of `train.py` takes it.
        extend_cfg: adds the trainers' config keys.
        dry: whether demo data that are not there are left unmade, and weights are looked for but not read.

    Returns:
        The runs, with what earlier starts left and how long they are expected to take; and one line for each mistake:
        missing data or weights, folders that hold another run.

    Raises:
        ConfigError: a mistake in the grid.
        BackboneError: unless `dry`, weights that are not there and can't be downloaded.
    """
    plans = planned_runs(grid, root, output, imports, extend_cfg)
    if not dry:  # before the data are read
        for plan in plans.values():
            require_weights(plan)
    splits, problems = split_hashes(plans.values(), make=not dry)
    for run, plan in plans.items():
        try:
            run.results = earlier_results(plan, splits[_data_key(plan)])
        except LammError as error:
            problems.append(str(error))
    problems += missing_weights((plan for run, plan in plans.items() if not run.finished), load=not dry)
    set_expected_seconds(plans)
    return list(plans), problems


def planned_runs(
    grid: Grid, root: Path, output: Path, imports: Sequence[str], extend_cfg: Callable[[CfgNode], None]
) -> dict[SweepRun, RunPlan]:
    """Every run of the grid, and what `train.py` will make of it; see `prepare`.

    Raises:
        ConfigError: a mistake in any run's arguments, or two runs in one folder.
    """
    plans: dict[SweepRun, RunPlan] = {}
    folders, parser = set(), train_parser()
    for variant, dataset, trainer, shots, seed in grid.points():
        name, _, config = trainer.partition("/")
        if name not in TRAINER_REGISTRY.registered_names():
            raise ConfigError(unknown_name("trainer", name, TRAINER_REGISTRY.registered_names()))
        words = ["--trainer", name, "--dataset", dataset, "--shots", str(shots), "--seed", str(seed)]
        words += ["--root", str(root.absolute())]
        words += [word for spec in imports for word in ("--import", spec)]
        if config:
            words += ["--config-file", str(trainer_config(name, config))]
        pairs = [word for pair in grid.settings_of(variant).items() for word in pair]
        require_no_folder(pairs)
        if seed == grid.seeds[0]:
            plan = plan_run(parser.parse_args([*words, *pairs]), extend_cfg)
        else:  # a tenth of the time
            plan = plan.with_seed(seed)
        folder = output / plan.output_dir.relative_to(PLANNED_FOLDER)
        if folder in folders:
            raise ConfigError(f"the grid names {folder} twice: give each trainer, data set, shots and seed once")
        folders.add(folder)
        place = str(folder.absolute())
        run = SweepRun(
            (*words, "--output-dir", place, *pairs),
            str(folder),
            place,
            f"{plan.trainer} ({variant})" if variant else plan.trainer,
            plan.dataset,
            plan.cfg_name,
            shots,
            seed,
        )
        plans[run] = replace(plan, cfg=changed_config(plan.cfg, OUTPUT_DIR=place))
    return plans


def split_hashes(plans: Iterable[RunPlan], make: bool) -> tuple[dict[str, str | None], list[str]]:
    """Look at each data set once.

    Args:
        plans: whose data sets to look at.
        make: whether to make demo data that are not there yet.

    Returns:
        Fingerprints of the splits by data set, None where it is not there; and one line for each data set that is
        missing or broken.
    """
    hashes: dict[str, str | None] = {}
    problems = []
    for plan in plans:
        key = _data_key(plan)
        if key in hashes:
            continue
        hashes[key] = None
        registered = DATASET_REGISTRY.get(plan.cfg.DATASET.NAME)
        makes_itself = isinstance(registered, type) and issubclass(registered, DemoDataset)
        if make or not makes_itself or (Path(plan.cfg.DATASET.ROOT) / registered.dataset_dir).exists():
            try:
                hashes[key] = require_data(plan)
            except DataError as error:
                problems.append(str(error))
    return hashes, problems


def _data_key(plan: RunPlan) -> str:
    """What tells data sets apart: the config's data section without what differs between runs on the same data."""
    section = {key: value for key, value in plan.cfg.DATASET.items() if key != "NUM_SHOTS"}
    return json.dumps(section, sort_keys=True, default=str)


def require_data(plan: RunPlan) -> str:
    """Build the run's data set, whole, so that no shots are drawn for it; the fingerprint of its split.

    Raises:
        DataError: it is missing or broken.
    """
    cfg = changed_config(plan.cfg, DATASET=changed_config(plan.cfg.DATASET, NUM_SHOTS=-1))
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return str(getattr(build_dataset(cfg), "split_hash", ""))


def earlier_results(plan: RunPlan, split: str | None) -> RunResults | None:
    """The record of an earlier start of this very run: same config, data root and split.

    Args:
        plan: the run.
        split: fingerprint of its data set's split; None: configs alone are compared.

    Raises:
        LammError: the folder holds another run, or a damaged record.
    """
    file = plan.output_dir / RESULTS_FILE
    if split is not None and file.is_file():
        results = RunResults.read(file)
        if results.config_hash == config_hash(plan.cfg, split):
            return results
    # Says what differs, key by key; slower.
    earlier = earlier_run(plan)
    if split is not None:
        require_same_split(plan, earlier, SimpleNamespace(split_hash=split))
    return earlier


def missing_weights(plans: Iterable[RunPlan], load: bool) -> list[str]:
    """Look for the weights of each backbone, or `load` it once; one line for each that can't be had."""
    have: Callable[[str, str], object] = weights_of
    if load:
        from lamm.clip.loading import load_clip  # takes torch, which a dry run does without

        have = load_clip
    problems = []
    backbones = [plan.cfg.MODEL.BACKBONE for plan in plans]
    for name, path in sorted({(backbone.NAME, str(getattr(backbone, "PATH", ""))) for backbone in backbones}):
        try:
            have(name, path)
        except BackboneError as error:
            problems.append(str(error))
    return problems


def set_expected_seconds(runs: Iterable[SweepRun]) -> None:
    """Expect of each run the median of the finished runs of its kind."""
    by_kind = _finished_by_kind(runs)
    for run in runs:
        seconds = [one.seconds_train for one in by_kind[run.kind] if one.seconds_train is not None]
        run.seconds = statistics.median(seconds) if seconds else None


def largest_peak(runs: Iterable[SweepRun]) -> float | None:
    """Bytes of memory that the finished runs of the same kinds took at most; None: unknown."""
    results = [one for some in _finished_by_kind(runs).values() for one in some]
    return max((MIB * one.peak_memory_mb for one in results if one.peak_memory_mb), default=None)


def _finished_by_kind(runs: Iterable[SweepRun]) -> Mapping[Path, list[RunResults]]:
    """Finished runs of each kind, whatever their seed and whoever ran them."""
    finished: dict[Path, list[RunResults]] = {}
    for kind in {run.kind for run in runs}:
        finished[kind] = []
        for file in kind.glob(f"seed*/{RESULTS_FILE}"):
            try:
                results = RunResults.read(file)
            except ResultsError:
                continue
            if results.finished:
                finished[kind].append(results)
    return finished


def left_to_do(runs: Iterable[SweepRun]) -> list[SweepRun]:
    """The runs without a result, in the order to do them: unknown ones first, then the longest."""
    left = [run for run in runs if not run.finished]
    return sorted(left, key=lambda run: (run.seconds is not None, -(run.seconds or 0.0), -run.shots))


def expected_seconds(runs: Sequence[SweepRun], at_once: int) -> float | None:
    """What runs take together, those of unknown time left out; None if nothing is known."""
    known = [run.seconds for run in runs if run.seconds is not None]
    return max(*known, sum(known) / max(1, min(at_once, len(known)))) if known else None
