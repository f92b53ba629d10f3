"""Config values that have the right type and still mean nothing."""

import math
from typing import Any

from yacs.config import CfgNode

from lamm.errors import ConfigError
from lamm.suggest import unknown_name

LARGEST_SEED = 2**32 - 1
CHOICES = {"TEST.SPLIT": ("test", "val"), "TEST.FINAL_MODEL": ("last_step", "best_val")}
NUMBERS = {"INPUT.PIXEL_MEAN": 3, "INPUT.PIXEL_STD": 3, "INPUT.RRCROP_SCALE": 2}
LOWEST = {
    "OPTIM.LR": 0.0,
    "OPTIM.WEIGHT_DECAY": 0.0,
    "OPTIM.MOMENTUM": 0.0,
    "OPTIM.MAX_EPOCH": 0,
    "TRAIN.PRINT_FREQ": 1,
    "DATALOADER.NUM_WORKERS": -1,
    "DATALOADER.TRAIN_X.BATCH_SIZE": 1,
    "DATALOADER.TEST.BATCH_SIZE": 1,
}


def check_values(cfg: CfgNode) -> None:
    """Refuse a seed, choice or number out of range.

    Raises:
        ConfigError: there is one.
    """
    if cfg.SEED < -1 or cfg.SEED > LARGEST_SEED:
        raise ConfigError(f"the seed is 0 or above (to {LARGEST_SEED}), or -1 for an unseeded run, got {cfg.SEED}")
    for key, names in CHOICES.items():
        if _value(cfg, key) not in names:
            raise ConfigError(unknown_name(key, str(_value(cfg, key)), names))
    for key, lowest in LOWEST.items():
        value = _value(cfg, key)
        if value is None or not lowest <= value < math.inf:
            raise ConfigError(f"config key {key} must be {lowest} or above, got {value}")
    for key, count in NUMBERS.items():
        value = _value(cfg, key)
        if len(value) != count or not all(isinstance(one, int | float) for one in value):
            raise ConfigError(f"config key {key} must be {count} numbers, got {value}")
    if min(cfg.INPUT.PIXEL_STD) <= 0:
        raise ConfigError(f"config key INPUT.PIXEL_STD must be numbers above 0, got {cfg.INPUT.PIXEL_STD}")
    small, large = cfg.INPUT.RRCROP_SCALE
    if not 0 < small <= large <= 1:
        raise ConfigError(f"config key INPUT.RRCROP_SCALE must be two shares, smaller first, got {small, large}")
    if cfg.OPTIM.SGD_NESTEROV and (cfg.OPTIM.MOMENTUM <= 0 or cfg.OPTIM.SGD_DAMPNING != 0):
        raise ConfigError("OPTIM.SGD_NESTEROV needs OPTIM.MOMENTUM above 0 and OPTIM.SGD_DAMPNING 0")


def _value(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node
