"""What an earlier start left in the output folder: nothing, the same run, or another one."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.errors import CheckpointError, ConfigError
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.fingerprint import CONFIG_FILE, config_hash, differing_keys
from lamm.run.plan import RunPlan


def earlier_run(plan: RunPlan) -> RunResults | None:
    """The record of an earlier start of this very run, or None.

    Raises:
        ConfigError: the folder holds a run with another config, or one that nobody knows the config of.
        ResultsError: the record is damaged.
    """
    folder = plan.output_dir
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: give another --output-dir")
    differences = differing_keys(plan.cfg, folder)
    if differences:
        raise ConfigError(
            f"{folder} holds a run with another config ({'; '.join(differences)}): "
            "remove it, or use another --output-dir"
        )
    file = folder / RESULTS_FILE
    if not (folder / CONFIG_FILE).exists() and (file.exists() or any(folder.glob("*/*.pth.tar*"))):
        raise ConfigError(
            f"{folder} holds a run without {CONFIG_FILE}, so it can't be told whether it is this one: "
            "remove it, or use another --output-dir"
        )
    return RunResults.read(file) if file.is_file() else None


def require_same_split(plan: RunPlan, earlier: RunResults | None, dataset: Any) -> str:
    """The run's fingerprint, after comparing it with that of the earlier start.

    Raises:
        ConfigError: the data set's split has changed since.
    """
    fingerprint = config_hash(plan.cfg, getattr(dataset, "split_hash", ""))
    if earlier is not None and earlier.config_hash != fingerprint:
        raise ConfigError(
            f"{plan.output_dir} holds a run on another split of the data: remove it, or use another --output-dir"
        )
    return fingerprint


def keep_precision(plan: RunPlan, earlier: RunResults | None) -> CfgNode:
    """The config to build with: a resumed run keeps the precision that `PREC auto` once meant."""
    cfg = plan.cfg
    node = getattr(plan.trainer_class, "config_node", "")
    if earlier is None or not node or cfg.TRAINER[node].PREC != "auto":
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TRAINER[node].PREC = earlier.precision
    cfg.freeze()
    return cfg


def check_trainer(trainer: Any, cfg: CfgNode) -> None:
    """Refuse a run that would quietly do something else than it was asked for.

    Raises:
        ConfigError: validation images are asked for, and there are none.
        CheckpointError: nothing to load or to resume from.
    """
    selects = cfg.TEST.FINAL_MODEL == "best_val" and not cfg.TEST.NO_TEST
    if trainer.val_loader is None and (cfg.TEST.SPLIT == "val" or selects):
        key = "TEST.SPLIT val" if cfg.TEST.SPLIT == "val" else "TEST.FINAL_MODEL best_val"
        raise ConfigError(f"{key} needs validation images, and {cfg.DATASET.NAME} has none")
    names = trainer.get_model_names()
    if "EVALUATION" in cfg and bool(cfg.EVALUATION.MODEL_DIR) != bool(names):
        raise CheckpointError(
            f"--eval-only needs --model-dir, the output folder of a training run of {cfg.TRAINER.NAME}"
            if names
            else f"{cfg.TRAINER.NAME} learns nothing, so there is nothing to load: leave --model-dir out"
        )
    missing = [name for name in names if not (Path(cfg.RESUME) / name).is_dir()] if cfg.RESUME else []
    if missing:
        raise CheckpointError(f"RESUME {cfg.RESUME} has no checkpoints of this trainer (no folder {missing[0]})")


LOG_FILE = "log.txt"


def remove_mere_log(folder: Path, runs: Path = Path("output")) -> None:
    """Remove a run's folder that holds a log and nothing else, and the folders above it that are empty then.

    What the log says beside the settings is the mistake, which stands on the screen.

    Args:
        folder: the run's.
        runs: the folder of all runs; only what is below it is removed with `folder`.
    """
    with suppress(OSError):  # not empty, or not ours to remove
        if [entry.name for entry in folder.iterdir()] != [LOG_FILE]:
            return
        (folder / LOG_FILE).unlink()
        folder.rmdir()
        for above in folder.parents:
            if runs not in above.parents:
                return
            above.rmdir()
