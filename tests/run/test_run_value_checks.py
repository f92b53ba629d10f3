"""Values of the right type that mean nothing are refused in one line that names the key."""

import pytest

from lamm.engine import get_cfg_default
from lamm.errors import ConfigError
from lamm.run.plan import check_values


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("INPUT.PIXEL_MEAN", [0.5]),
        ("INPUT.PIXEL_MEAN", ["a", "b", "c"]),
        ("INPUT.PIXEL_STD", [0.2, 0.0, 0.2]),
        ("INPUT.RRCROP_SCALE", (1.0,)),
        ("INPUT.RRCROP_SCALE", (0.9, 0.1)),
        ("OPTIM.LR", -0.1),
        ("TRAIN.PRINT_FREQ", 0),
        ("TEST.SPLIT", "tset"),
    ],
)
def test_a_value_that_means_nothing_is_refused(key, value):
    cfg = get_cfg_default()
    cfg.merge_from_list([key, value])
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")) as caught:
        check_values(cfg)
    assert "\n" not in str(caught.value)


def test_nesterov_needs_momentum_without_dampening():
    cfg = get_cfg_default()
    cfg.merge_from_list(["OPTIM.SGD_NESTEROV", True, "OPTIM.SGD_DAMPNING", 1])
    with pytest.raises(ConfigError, match="SGD_DAMPNING 0"):
        check_values(cfg)


def test_the_defaults_pass():
    check_values(get_cfg_default())
