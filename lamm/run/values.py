"""Which values each config key may have: one table, for our own engine's keys, Dassl's and those of our trainers.

Keys that are not in it, such as those of other people's trainers, are not looked at.
"""

import functools
import math
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from yacs.config import CfgNode

from lamm.errors import ConfigError, unknown_name
from lamm.numbers import LARGE, PROCESSES, SEEDS, Range, shown


@dataclass(frozen=True)
class ListOf:
    """A list or tuple.

    Attributes:
        each: what its values may be.
        count: how many there are; None: any number.
    """

    each: "Allowed"
    count: int | None = None


# `str` and `bool` stand for any text and for True or False, a tuple for its texts.
Allowed = Range | ListOf | tuple[str, ...] | type[str] | type[bool]

LONGEST_TEXT = 4000
SHARE = Range(0, 1, whole=False)
BELOW_1 = Range(0, 0.9999999, whole=False)
# Large enough for whatever trains, small enough for fp32.
FACTOR = Range(0, 1000, whole=False)
COUNT = Range(0)
BATCH = Range(1)
PIXELS = Range(0, 4096)
SOME = Range(-1)  # -1: all, or none

_SAMPLING: dict[str, Allowed] = {
    "SAMPLER": str,
    "BATCH_SIZE": BATCH,
    "N_DOMAIN": COUNT,
    "N_INS": BATCH,
}
_CONTEXT: dict[str, Allowed] = {"N_CTX": Range(0, 1000), "CTX_INIT": str, "PREC": str}
_TABLE: dict[str, dict[str, Allowed]] = {
    "": {
        **{"VERSION": COUNT, "SEED": Range(-1, SEEDS.high), "USE_CUDA": bool, "VERBOSE": bool},
        **{"OUTPUT_DIR": str, "RESUME": str},
    },
    "INPUT.": {
        "SIZE": ListOf(Range(1, 4096), 2),
        **{"INTERPOLATION": str, "TRANSFORMS": ListOf(str), "NO_TRANSFORM": bool, "DECODING": str},
        "PIXEL_MEAN": ListOf(Range(-1000, 1000, whole=False), 3),
        "PIXEL_STD": ListOf(Range(1e-6, 1000, whole=False), 3),
        "RRCROP_SCALE": ListOf(Range(1e-6, 1, whole=False), 2),
        **{"CROP_PADDING": PIXELS, "CUTOUT_N": Range(0, 1000), "CUTOUT_LEN": PIXELS},
        **{"GN_MEAN": Range(-1000, 1000, whole=False), "GN_STD": FACTOR},
        **{"RANDAUGMENT_N": Range(0, 100), "RANDAUGMENT_M": Range(0, 30)},
        **dict.fromkeys(("COLORJITTER_B", "COLORJITTER_C", "COLORJITTER_S"), Range(0, 100, whole=False)),
        **{"COLORJITTER_H": Range(0, 0.5, whole=False), "RGS_P": SHARE, "GB_P": SHARE, "GB_K": Range(1, 999)},
        **{"CACHE_VIEWS": Range(0, 10_000), "CACHE_DIR": str, "CACHE_GB": Range(1e-6, LARGE, whole=False)},
    },
    "DATASET.": {
        **dict.fromkeys(("ROOT", "NAME", "CSV", "TEMPLATE", "SUBSAMPLE_CLASSES", "CIFAR_C_TYPE"), str),
        **dict.fromkeys(("SOURCE_DOMAINS", "TARGET_DOMAINS"), ListOf(str)),
        **dict.fromkeys(("ALL_AS_UNLABELED", "ORIGINAL_PICKS"), bool),
        **{"NUM_LABELED": SOME, "NUM_SHOTS": SOME, "VAL_PERCENT": SHARE},
        **{"STL10_FOLD": Range(-1, 9), "CIFAR_C_LEVEL": Range(1, 5)},
    },
    "INCREMENTAL.": {
        **dict.fromkeys(("STEPS", "STEP", "FIRST"), COUNT),
        **{"ORDER_SEED": Range(-1, SEEDS.high), "SEEN_AS_NEGATIVES": bool},
    },
    "EVALUATION.": {"MODEL_DIR": str, "LOAD_EPOCH": SOME},
    "DATALOADER.": {"NUM_WORKERS": Range(-1, PROCESSES.high), "K_TRANSFORMS": Range(1, 1000), "RETURN_IMG0": bool},
    "DATALOADER.TRAIN_X.": _SAMPLING,
    "DATALOADER.TRAIN_U.": {**_SAMPLING, "SAME_AS_X": bool},
    "DATALOADER.TEST.": _SAMPLING,
    "MODEL.": {"INIT_WEIGHTS": str},
    "MODEL.BACKBONE.": {"NAME": str, "PATH": str, "PRETRAINED": bool},
    "MODEL.HEAD.": {
        **{"NAME": str, "HIDDEN_LAYERS": ListOf(BATCH), "ACTIVATION": str, "BN": bool, "DROPOUT": SHARE},
    },
    "OPTIM.": {
        **{"NAME": str, "LR": FACTOR, "WEIGHT_DECAY": FACTOR, "MOMENTUM": SHARE, "SGD_DAMPNING": SHARE},
        **{"RMSPROP_ALPHA": BELOW_1, "ADAM_BETA1": BELOW_1, "ADAM_BETA2": BELOW_1},
        **{"SGD_NESTEROV": bool, "STAGED_LR": bool, "NEW_LAYERS": ListOf(str), "BASE_LR_MULT": FACTOR},
        **{"LR_SCHEDULER": str, "STEPSIZE": ListOf(SOME), "GAMMA": FACTOR, "MAX_EPOCH": COUNT},
        **{"WARMUP_EPOCH": SOME, "WARMUP_TYPE": str, "WARMUP_RECOUNT": bool},
        **{"WARMUP_CONS_LR": FACTOR, "WARMUP_MIN_LR": FACTOR},
    },
    "TRAIN.": {"CHECKPOINT_FREQ": SOME, "PRINT_FREQ": BATCH, "COUNT_ITER": str},
    "TEST.": {
        **{"EVALUATOR": str, "PER_CLASS_RESULT": bool, "COMPUTE_CMAT": bool, "NO_TEST": bool},
        **{"SPLIT": ("test", "val"), "FINAL_MODEL": ("last_step", "best_val")},
    },
    "TRAINER.": {"NAME": str, "TEXT_CHUNK": COUNT, "TEXT_MEMORY": COUNT},
    "TRAINER.ZEROSHOTCLIP.": {"ENSEMBLE": bool, "PREC": str},
    **{f"TRAINER.{name}.": {"CHOICE": ("train", "val"), "PREC": str} for name in ("GDA", "LINEARPROBE", "TIPADAPTER")},
    "TRAINER.NEARESTMEAN.": {"PREC": str},
    "TRAINER.RANPAC.": {"PREC": str, "PROJECTION": Range(1, 50_000)},
    "TRAINER.COOP.": {**_CONTEXT, "CSC": bool, "CLASS_TOKEN_POSITION": str},
    "TRAINER.COCOOP.": _CONTEXT,
    "TRAINER.MAPLE.": {**_CONTEXT, "PROMPT_DEPTH": Range(0, 1000)},
    "TRAINER.KGCOOP.": {**_CONTEXT, "LAMBDA_KG": FACTOR},
    "TRAINER.PROMPTSRC.": {
        **{**_CONTEXT, "PROMPT_DEPTH": Range(0, 1000), "LAMBDA_TEXT": FACTOR, "LAMBDA_IMAGE": FACTOR},
        **{"GPA_MEAN": Range(0, 10_000, whole=False), "GPA_STD": Range(0.001, 10_000, whole=False)},
    },
    "TRAINER.LAMM.": {
        **dict.fromkeys(("LABEL_TOKENS", "LABEL_INIT", "KD_DIRECTION", "COS_OVER", "TEACHER", "CTX_INIT", "PREC"), str),
        "UNSEEN_LABELS": ("shared", "clip"),
        **{"ENABLED": bool, "HIERARCHICAL_LOSS": bool, "LAMBDA_WC": Range(-1, 1000, whole=False)},
        **{"LAMBDA_COS": FACTOR, "LAMBDA_KD": FACTOR, "KD_TEMPERATURE": Range(0.001, 1000, whole=False)},
    },
    "TRAINER.TOPLAMM.": {
        **{"BLOCKS": Range(-1, 1000), "TUNE": ("blocks", "lora", "layernorm"), "BLOCKS_LR": FACTOR},
        "TUNED_WEIGHT": SHARE,
        **{"GRAM": FACTOR, "RANK": Range(1, 1000), "DROPOUT": BELOW_1},
    },
    "TRAINER.CLIPLORA.": {"RANK": Range(1, 1000), "DROPOUT": BELOW_1, "STEPS_PER_SHOT": COUNT, "PREC": str},
}
ALLOWED: Mapping[str, Allowed] = {
    f"{section}{name}": what for section, keys in _TABLE.items() for name, what in keys.items()
}
"""Config key → what it may hold."""


def check_values(cfg: CfgNode, nodes: Collection[str] = ()) -> None:
    """Refuse values that mean nothing, such as infinities, and those that would ask for work without end.

    Args:
        cfg: the config, our own or upstream Dassl's; a key that it lacks is not looked at.
        nodes: those below `cfg.TRAINER` that the run's trainer reads, and that are ours.

    Raises:
        ConfigError: names the key, what it may hold, and what it holds.
    """
    for key, allowed in ALLOWED.items():
        *path, name = key.split(".")
        node = functools.reduce(lambda at, part: at.get(part, {}), path, cfg)
        if len(path) == 2 and path[0] == "TRAINER" and path[1] not in nodes:
            if isinstance(node.get(name), float) and not math.isfinite(node[name]):  # unread, but written down
                raise ConfigError(f"config key {key} must be a finite number, got {shown(node[name])}")
            continue
        if name in node and not _holds(allowed, node[name]):
            value = node[name]
            if isinstance(allowed, tuple) and isinstance(value, str):
                raise ConfigError(unknown_name(key, shown(value), allowed))
            if isinstance(allowed, Range):
                raise ConfigError(f"config key {key} {allowed.refuse(value)}")
            raise ConfigError(f"config key {key} must be {_described(allowed)}, got {shown(value)}")
    _check_together(cfg)


def _check_together(cfg: CfgNode) -> None:
    """Refuse values that don't go with each other."""
    # With `get`, since older forks of Dassl lack some.
    small, large = cfg.INPUT.get("RRCROP_SCALE", (0, 1))
    if small > large:
        raise ConfigError(f"config key INPUT.RRCROP_SCALE must be two shares, smaller first, got {small, large}")
    if cfg.INPUT.get("GB_K", 1) % 2 == 0:
        raise ConfigError(f"config key INPUT.GB_K must be odd, got {cfg.INPUT.GB_K}")
    if cfg.OPTIM.SGD_NESTEROV and (cfg.OPTIM.MOMENTUM <= 0 or cfg.OPTIM.SGD_DAMPNING != 0):
        raise ConfigError("OPTIM.SGD_NESTEROV needs OPTIM.MOMENTUM above 0 and OPTIM.SGD_DAMPNING 0")
    if cfg.OPTIM.LR_SCHEDULER == "single_step" and not cfg.OPTIM.STEPSIZE:
        raise ConfigError("config key OPTIM.STEPSIZE must end in a number for single_step, got ()")


def _holds(allowed: Allowed, value: Any) -> bool:
    if isinstance(allowed, ListOf):
        whole = isinstance(value, list | tuple) and allowed.count in (None, len(value))
        return whole and all(_holds(allowed.each, one) for one in value)
    if allowed is bool:
        return isinstance(value, bool)
    if allowed is str:
        return isinstance(value, str) and len(value) <= LONGEST_TEXT and _can_be_written(value)
    return value in allowed  # type: ignore[operator]


def _can_be_written(text: str) -> bool:
    """Whether a text can be a part of paths and files: no NUL, no half of a character."""
    try:
        return b"\0" not in text.encode(sys.getfilesystemencoding(), "surrogateescape")
    except UnicodeEncodeError:
        return False


def _described(allowed: Allowed) -> str:
    if isinstance(allowed, ListOf):
        each = _described(allowed.each).removeprefix("a ")
        return f"a list, each a {each}" if allowed.count is None else f"{allowed.count} values, each a {each}"
    if allowed is bool:
        return "True or False"
    if isinstance(allowed, tuple):
        return " or ".join(allowed)
    return f"a text of at most {LONGEST_TEXT} plain characters" if allowed is str else str(allowed)
