"""The steps of class-incremental learning as runs: what the config must say, and that the steps before are there."""

from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.errors import CheckpointError, ConfigError, ResultsError
from lamm.log import logger
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.fingerprint import differing_keys, is_hash_of, step_folder

WITHOUT_STEPS = {"STEP": 0, "ORDER_SEED": -1, "FIRST": 0, "SEEN_AS_NEGATIVES": False}
"""Keys that only steps read, with their defaults."""


def step_of(cfg: CfgNode) -> int:
    """The step that a run is, from 1; 0: it is none."""
    node = cfg.get("INCREMENTAL")
    return int(node.STEP) if node is not None and node.STEPS else 0


def name_with_step(cfg_name: str, cfg: CfgNode) -> str:
    """The config's name as results call it: with the step behind it, if the run is one."""
    return f"{cfg_name}/{step_folder(step_of(cfg))}" if step_of(cfg) else cfg_name


def check_incremental(cfg: CfgNode, trainer: str, trainer_class: Any, eval_only: bool) -> None:
    """Refuse steps that don't exist, and what they don't go together with.

    Args:
        cfg: the config; what it says where it has no `INCREMENTAL` is not looked at.
        trainer: registered name.
        trainer_class: one that learns step by step says so with an attribute `learns_in_steps`.
        eval_only: whether the run only tests.

    Raises:
        ConfigError: the run can't be a step.
    """
    node = cfg.get("INCREMENTAL")
    if node is None:
        return
    if not node.STEPS:
        for key, default in WITHOUT_STEPS.items():
            if node.get(key, default) != default:
                raise ConfigError(f"INCREMENTAL.{key} has no effect without INCREMENTAL.STEPS: set that too")
        return
    if not 1 <= node.STEP <= node.STEPS:
        raise ConfigError(f"INCREMENTAL.STEP is {node.STEP}: it must be from 1 to INCREMENTAL.STEPS, {node.STEPS}")
    subset = cfg.DATASET.SUBSAMPLE_CLASSES
    if subset != "all":
        raise ConfigError(f"INCREMENTAL.STEPS cuts the classes itself: leave DATASET.SUBSAMPLE_CLASSES {subset} out")
    if eval_only:
        raise ConfigError("--eval-only does not go with INCREMENTAL.STEPS: every step tests all sets when it is done")
    if not getattr(trainer_class, "learns_in_steps", False):
        raise ConfigError(f"trainer {trainer} can't learn classes step by step: leave INCREMENTAL.STEPS out")


def follow_released_steps(cfg: CfgNode) -> None:
    """Set λ1 = 1 / shots in a step with a `_released` config, as the authors' scripts for Set 1 and Set 2 do.

    Their few-shot scripts leave λ1 at 1, which is what the config says.
    """
    if step_of(cfg) and cfg.TRAINER.LAMM.LAMBDA_WC != -1.0:
        cfg.TRAINER.LAMM.LAMBDA_WC = -1.0
        logger.info(
            "TRAINER.LAMM.LAMBDA_WC is -1.0 (1 / shots) in incremental steps, as in the authors' scripts for them"
        )


def earlier_steps(output_dir: str | Path, step: int) -> list[Path]:
    """The folders of the steps before one, which lie beside its own."""
    return [Path(output_dir).parent / step_folder(number) for number in range(1, step)]


def require_earlier_steps(cfg: CfgNode) -> None:
    """Refuse to start a step unless those before it are finished, and steps of the same experiment.

    Args:
        cfg: the step's config as it was planned.

    Raises:
        CheckpointError: a step before is missing or unfinished.
        ConfigError: it is one of another config.
    """
    for number, folder in enumerate(earlier_steps(cfg.OUTPUT_DIR, step_of(cfg)), start=1):
        results = _results(number, folder)
        if not results.finished:
            raise CheckpointError(
                f"step {number} at {folder} is unfinished: start it again to resume it, then this one"
            )
        differences = differing_keys(_of_step(cfg, number), folder)
        if differences:
            raise ConfigError(
                f"step {number} at {folder} has another config ({'; '.join(differences)}): give all steps a folder "
                "of their own with --tag"
            )


def require_split_of_earlier_steps(cfg: CfgNode, split_hash: str) -> None:
    """Refuse to go on with another split of the data than the steps before had.

    Args:
        cfg: the step's config as it was planned.
        split_hash: of its data set.

    Raises:
        ConfigError: a step was trained on another split.
    """
    for number, folder in enumerate(earlier_steps(cfg.OUTPUT_DIR, step_of(cfg)), start=1):
        if not is_hash_of(_results(number, folder).config_hash, _of_step(cfg, number), split_hash, folder):
            raise ConfigError(
                f"step {number} at {folder} was trained on another split of the data: give all steps a folder of "
                "their own with --tag"
            )


def _results(number: int, folder: Path) -> RunResults:
    try:
        return RunResults.read(folder / RESULTS_FILE)
    except ResultsError as error:
        raise CheckpointError(f"step {number} is missing ({error}): run the steps in order") from error


def _of_step(cfg: CfgNode, number: int) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INCREMENTAL.STEP = number
    return cfg
