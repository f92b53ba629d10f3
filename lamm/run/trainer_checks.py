"""What only a built trainer can tell: whether there is something to validate on, to load, to resume."""

from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.errors import CheckpointError, ConfigError


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
