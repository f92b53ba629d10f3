"""Every number of a config has a range, and what lies outside it is one line."""

from typing import Any

import lamm_trainers
import pytest

from lamm.engine import get_cfg_default
from lamm.errors import ConfigError
from lamm.run.fingerprint import flat
from lamm.run.values import ALLOWED, check_values

LAMM = ("COOP", "LAMM")


def config() -> Any:
    cfg = get_cfg_default()
    lamm_trainers.extend_cfg(cfg)
    return cfg


def set_to(key: str, value: object) -> Any:
    cfg = config()
    *path, name = key.split(".")
    node = cfg
    for part in path:
        node = node[part]
    node[name] = value
    return cfg


def is_numeric(value: object) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(one, int | float) and not isinstance(one, bool) for one in values)


def test_every_numeric_key_has_a_range_and_its_default_lies_in_it():
    nodes = {node for trainer in lamm_trainers.TRAINERS for node in trainer.config_nodes}
    others = tuple(f"TRAINER.{node}." for node in config().TRAINER if node not in nodes)  # those of Dassl's trainers
    numeric = [key for key, value in flat(config()).items() if is_numeric(value) and not key.startswith(others)]
    assert [key for key in numeric if key not in ALLOWED] == []
    check_values(config(), nodes)


def test_each_of_our_trainers_names_the_nodes_it_reads():
    for trainer in lamm_trainers.TRAINERS:
        assert trainer.config_node in vars(trainer)["config_nodes"]
        assert ("LAMM" in trainer.config_nodes) == ("LAMM" in trainer.__name__)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("SEED", (-2, 2**32, True)),
        ("INPUT.PIXEL_MEAN", ([0.5], ["a", "b", "c"], [float("nan")] * 3)),
        ("INPUT.PIXEL_STD", ([0.2, 0.0, 0.2], [float("inf")] * 3)),
        ("INPUT.RRCROP_SCALE", ((1.0,), (0.9, 0.1))),
        ("INPUT.SIZE", ((10**400, 10**400), (224,), 224, (True, 224), (224.0, 224.0))),
        ("INPUT.CROP_PADDING", (-1,)),
        ("INPUT.GB_K", (0, 4)),
        ("INPUT.CACHE_VIEWS", (-1, 10**9)),
        ("DATALOADER.NUM_WORKERS", (-2, 100_000)),
        ("DATALOADER.TRAIN_X.BATCH_SIZE", (0, 10**30, "32")),
        ("DATASET.NUM_SHOTS", (-5,)),
        ("OPTIM.LR", (-0.1, 1e300, float("nan"), "fast")),
        ("OPTIM.MOMENTUM", (2.0,)),
        ("OPTIM.WARMUP_CONS_LR", (-1.0, float("inf"))),
        ("OPTIM.GAMMA", (float("inf"),)),
        ("OPTIM.ADAM_BETA1", (1.5, 1.0)),
        ("OPTIM.STEPSIZE", ((), (1.5,))),
        ("TRAIN.PRINT_FREQ", (0,)),
        ("TEST.SPLIT", ("tset", ["test"])),
        ("OUTPUT_DIR", ("a\0b", "\ud800", "x" * 5000)),
        ("TRAINER.LAMM.LAMBDA_KD", (-1.0, float("inf"))),
        ("TRAINER.LAMM.KD_TEMPERATURE", (0.0, 1e300)),
        ("TRAINER.COOP.N_CTX", (-1, 10**400, 2.0)),
    ],
)
def test_a_value_that_means_nothing_is_refused(key, values):
    for value in values:
        with pytest.raises(ConfigError, match=key.replace(".", r"\.")) as caught:
            check_values(set_to(key, value), LAMM)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_none_is_refused_for_every_key_of_ours():
    for key in flat(config()):
        if key in ALLOWED and (key.count(".") < 2 or not key.startswith("TRAINER.") or key.split(".")[1] in LAMM):
            with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
                check_values(set_to(key, None), LAMM)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("SEED", -1), ("DATASET.NUM_SHOTS", 0), ("DATASET.NUM_SHOTS", -1), ("OPTIM.MAX_EPOCH", 0), ("OPTIM.LR", 0.0)],
        *[("OPTIM.LR", 1), ("OPTIM.WARMUP_EPOCH", 0), ("OPTIM.STEPSIZE", [10, 20]), ("DATALOADER.NUM_WORKERS", -1)],
        *[("TRAINER.LAMM.LAMBDA_WC", 0.0), ("TRAIN.CHECKPOINT_FREQ", 0), ("INPUT.SIZE", [224, 288])],
    ],
)
def test_what_means_something_stays(key, value):
    check_values(set_to(key, value), LAMM)


def test_keys_of_other_peoples_trainers_are_not_looked_at():
    cfg = set_to("TRAINER.COOP.CTX_INIT", True)  # as KgCoOp has it
    cfg.TRAINER.MINE = type(cfg)({"ALPHA": float("inf"), "WORDS": None})
    cfg.LOSS = type(cfg)({"NAME": None})
    check_values(cfg)


def test_nesterov_needs_momentum_without_dampening():
    cfg = get_cfg_default()
    cfg.merge_from_list(["OPTIM.SGD_NESTEROV", True, "OPTIM.SGD_DAMPNING", 1])
    with pytest.raises(ConfigError, match="SGD_DAMPNING 0"):
        check_values(cfg)
