"""Optimizers and their groups; learning rates against the table that Dassl 0.6.3 gave, and closed forms."""

import io
import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from lamm.engine.embedded.checkpoint import plain_state
from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.optim import OPTIMIZER_NAMES, build_lr_scheduler, build_optimizer
from lamm.errors import ConfigError


def optim_cfg(*settings):
    node = get_cfg_default().OPTIM
    node.merge_from_list(list(settings))
    return node


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_rate_and_weight_decay_reach_every_optimizer(name):
    optimizer = build_optimizer(nn.Linear(2, 2), optim_cfg("NAME", name, "LR", 0.25, "WEIGHT_DECAY", 0.125))
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.25, 0.125)


def test_sgd_by_default_has_the_momentum_and_weight_decay_of_dassl():
    defaults = build_optimizer(nn.Linear(2, 2), optim_cfg("NAME", "sgd")).defaults
    assert (defaults["momentum"], defaults["weight_decay"]) == (0.9, 5e-4)
    assert (defaults["dampening"], defaults["nesterov"]) == (0, False)


def test_amsgrad_is_adam_with_the_flag():
    assert build_optimizer(nn.Linear(2, 2), optim_cfg("NAME", "amsgrad")).defaults["amsgrad"] is True
    assert build_optimizer(nn.Linear(2, 2), optim_cfg("NAME", "adam")).defaults["amsgrad"] is False


def test_frozen_parameters_and_plain_lists_are_taken_as_they_are():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert len(build_optimizer(model, optim_cfg()).param_groups[0]["params"]) == 2
    assert len(build_optimizer([model.weight], optim_cfg()).param_groups[0]["params"]) == 1


def test_given_groups_replace_the_models_parameters():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer(nn.Linear(2, 2), optim_cfg(), param_groups=[{"params": [parameter], "lr": 0.5}])
    assert optimizer.param_groups[0]["params"] == [parameter]
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_staged_rates_slow_the_old_children_down_and_skip_the_roots_own_parameters():
    model = nn.Module()
    model.own = nn.Parameter(torch.zeros(1))
    model.old, model.new = nn.Linear(1, 1), nn.Linear(1, 1)
    settings = optim_cfg("STAGED_LR", True, "NEW_LAYERS", ("new",), "LR", 0.5, "BASE_LR_MULT", 0.25)
    slow, fast = build_optimizer(model, settings).param_groups
    assert (slow["lr"], fast["lr"]) == (0.125, 0.5)
    assert slow["params"] == list(model.old.parameters())
    assert fast["params"] == list(model.new.parameters())


def test_staged_rates_need_a_module():
    with pytest.raises(TypeError, match="STAGED_LR"):
        build_optimizer([nn.Parameter(torch.zeros(1))], optim_cfg("STAGED_LR", True))


def test_an_unknown_optimizer_is_a_value_error_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"optim must be one of \[.*\], but got sdg .*sgd"):
        build_optimizer(nn.Linear(1, 1), optim_cfg("NAME", "sdg"))


def build(**settings):
    optim_cfg = get_cfg_default().OPTIM
    defaults = {"NAME": "sgd", "LR": 0.002, "LR_SCHEDULER": "cosine", "MAX_EPOCH": 50, "WARMUP_TYPE": "constant"}
    for name, value in {**defaults, **settings}.items():
        optim_cfg[name] = value
    optimizer = build_optimizer(nn.Linear(1, 1), optim_cfg)
    return optimizer, build_lr_scheduler(optimizer, optim_cfg)


def rate(optimizer):
    return optimizer.param_groups[0]["lr"]


def advance(optimizer, scheduler):
    optimizer.step()
    scheduler.step()
    return rate(optimizer)


def rates(epochs, **settings):
    """The rate of each epoch, and what is left in the optimizer after the last."""
    optimizer, scheduler = build(MAX_EPOCH=epochs, **settings)
    return [rate(optimizer), *(advance(optimizer, scheduler) for _ in range(epochs))]


EPOCHS = [0, 1, 2, 3, 4, 5, 10, 25, 49, 50]
TABLE = {
    "no warm-up": (
        {},
        """0.002 0.001998026728 0.001992114701 0.001982287251 0.001968583161 0.001951056516
        0.001809016994 0.001 1.973271572e-06 0""",
    ),
    "constant 1": (
        {"WARMUP_EPOCH": 1},
        """0.00001 0.002 0.001998026728 0.001992114701 0.001982287251 0.001968583161
        0.001844327926 0.00106279052 7.885298686e-06 1.973271572e-06""",
    ),
    "linear 1": (
        {"WARMUP_EPOCH": 1, "WARMUP_TYPE": "linear"},
        """0.00001 0.002 0.001998026728 0.001992114701 0.001982287251 0.001968583161
        0.001844327926 0.00106279052 7.885298686e-06 1.973271572e-06""",
    ),
    "constant 1 without recount": (
        {"WARMUP_EPOCH": 1, "WARMUP_RECOUNT": False},
        """0.00001 0.002 0.001994082134 0.001984244978 0.001970527354 0.0019529834
        0.001810803598 0.00100098761 1.975220395e-06 0""",
    ),
    "linear 5": (
        {"WARMUP_EPOCH": 5, "WARMUP_TYPE": "linear"},
        "0.00001 0.0004 0.0008 0.0012 0.0016 0.002 nan 0.001309016994 7.022351411e-05 4.89434837e-05",
    ),
    "constant 3": (
        {"WARMUP_EPOCH": 3},
        """0.00001 0.00001 0.00001 0.002 0.001998026728 0.001992114701
        nan 0.001187381315 3.141683887e-05 1.771274927e-05""",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_fifty_epochs_have_the_rates_of_dassl(name):
    settings, expected = TABLE[name]
    got = rates(50, **settings)
    for epoch, value in zip(EPOCHS, map(float, expected.split()), strict=True):
        if not math.isnan(value):
            assert got[epoch] == pytest.approx(value, rel=1e-9, abs=1e-17), epoch


@pytest.mark.parametrize(
    ("epochs", "base", "expected"),
    [
        (10, 0.002, "1e-5 .002 .001951057 .001809017 .001587785 .001309017 .001 .000690983 .000412215 .000190983"),
        (5, 0.0035, "1e-5 .0035 .00316578 .00229078 .00120922"),
        (5, 0.002, "1e-5 .002 .001809017 .001309017 .000690983"),
        (2, 0.0026, "1e-5 .0026"),
    ],
)
def test_short_runs_have_the_rates_of_dassl(epochs, base, expected):
    values = [float(value) for value in expected.split()]
    assert rates(epochs, LR=base, WARMUP_EPOCH=1)[:-1] == pytest.approx(values, abs=5e-10, rel=1e-5)


def test_multi_step_behind_a_warmup_falls_one_epoch_late():
    got = rates(10, LR_SCHEDULER="multi_step", STEPSIZE=(3, 6), WARMUP_EPOCH=1)
    assert got[:-1] == pytest.approx([1e-5, *[0.002] * 3, *[0.0002] * 3, *[0.00002] * 3], rel=1e-12)


def test_rates_behind_a_warmup_are_the_delayed_cosine_in_closed_form():
    got = rates(50, WARMUP_EPOCH=1)
    for epoch in range(1, 51):
        assert got[epoch] == pytest.approx(0.001 * (1 + math.cos(math.pi * (epoch - 1) / 50)), abs=1e-17)


def test_single_step_reads_the_last_stepsize_and_never_falls_within_the_run_when_it_is_negative():
    assert rates(4, LR_SCHEDULER="single_step", STEPSIZE=(9, 2)) == pytest.approx([0.002, 0.002, 2e-4, 2e-4, 2e-5])
    assert rates(4, LR_SCHEDULER="single_step")[:-1] == [0.002] * 4


def test_every_parameter_group_warms_up_to_its_own_base_rate():
    optim_cfg = get_cfg_default().OPTIM
    optim_cfg.merge_from_list(["NAME", "sgd", "LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 2, "LR", 0.1])
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:]}]
    optimizer = build_optimizer(parameters, optim_cfg, param_groups=groups)
    scheduler = build_lr_scheduler(optimizer, optim_cfg)
    seen = [[group["lr"] for group in optimizer.param_groups]]
    for _ in range(2):
        advance(optimizer, scheduler)
        seen.append([group["lr"] for group in optimizer.param_groups])
    assert seen == [[1e-5, 1e-5], [0.25, 0.05], [0.5, 0.1]]


def test_unknown_names_are_a_value_error_and_a_config_error():
    for settings in ({"LR_SCHEDULER": "cosin"}, {"WARMUP_EPOCH": 1, "WARMUP_TYPE": "quadratic"}):
        with pytest.raises(ValueError, match="must be one of") as caught:
            build(**settings)
        assert isinstance(caught.value, ConfigError)


def test_a_stepsize_that_is_no_integer_is_refused():
    with pytest.raises(TypeError, match="STEPSIZE"):
        build(LR_SCHEDULER="single_step", STEPSIZE=(1.5,))


RESUMABLE = [
    {"WARMUP_EPOCH": 1},
    {"WARMUP_EPOCH": 3, "WARMUP_TYPE": "linear"},
    {"WARMUP_EPOCH": 2, "WARMUP_RECOUNT": False},
    {"WARMUP_EPOCH": 1, "LR_SCHEDULER": "multi_step", "STEPSIZE": (2, 4)},
    {"WARMUP_EPOCH": 1, "LR_SCHEDULER": "single_step", "STEPSIZE": (2,)},
    {},
]


@pytest.mark.parametrize(("settings", "done"), list(zip(RESUMABLE, [1, 2, 4, 2, 4, 1], strict=True)))
def test_rates_after_a_resume_are_those_of_an_uninterrupted_run(settings, done):
    whole = rates(6, **settings)
    optimizer, scheduler = build(MAX_EPOCH=6, **settings)
    for _ in range(done):
        advance(optimizer, scheduler)
    file = io.BytesIO()
    torch.save(
        {"optimizer": optimizer.state_dict(), "scheduler": plain_state(scheduler.state_dict(), "scheduler")}, file
    )
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    optimizer, scheduler = build(MAX_EPOCH=6, **settings)
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    assert [advance(optimizer, scheduler) for _ in range(done, 6)] == whole[done + 1 :]


def test_the_state_has_the_counters_of_dassl_and_nests_the_successors():
    _, scheduler = build(WARMUP_EPOCH=1)
    state = scheduler.state_dict()
    assert {"cons_lr", "warmup_epoch", "base_lrs", "last_epoch", "_step_count", "_last_lr"} <= set(state)
    assert "optimizer" not in state
    assert state["successor"]["T_max"] == 50.0
    assert "optimizer" not in state["successor"]


@pytest.mark.parametrize("done", [1, 4])
def test_a_state_that_holds_the_successor_as_an_object_continues_too(done):
    whole = rates(6, WARMUP_EPOCH=2)
    optimizer, scheduler = build(MAX_EPOCH=6, WARMUP_EPOCH=2)
    for _ in range(done):
        advance(optimizer, scheduler)
    old_form = {key: value for key, value in vars(scheduler).items() if key != "optimizer"}
    assert isinstance(old_form["successor"], CosineAnnealingLR)
    weights = optimizer.state_dict()
    optimizer, scheduler = build(MAX_EPOCH=6, WARMUP_EPOCH=2)
    own_successor = scheduler.successor
    optimizer.load_state_dict(weights)
    scheduler.load_state_dict(old_form)
    assert scheduler.successor is own_successor
    assert scheduler.successor.optimizer is optimizer
    assert [advance(optimizer, scheduler) for _ in range(done, 6)] == whole[done + 1 :]
