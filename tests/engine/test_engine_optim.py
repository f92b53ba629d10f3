"""Optimisers: the settings each takes, parameter groups, staged learning rates."""

import pytest
import torch
from torch import nn

from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.optim import OPTIMIZER_NAMES, build_optimizer


def optim_cfg(*settings):
    node = get_cfg_default().OPTIM
    node.merge_from_list(list(settings))
    return node


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_rate_and_weight_decay_reach_every_optimiser(name):
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


def test_an_unknown_optimiser_is_a_value_error_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"optim must be one of \[.*\], but got sdg .*sgd"):
        build_optimizer(nn.Linear(1, 1), optim_cfg("NAME", "sdg"))
