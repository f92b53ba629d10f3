"""Optimisers by name, with the settings of `cfg.OPTIM`."""

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from lamm.engine.embedded.trainer_errors import ConfigValueError
from lamm.suggest import nearest

OPTIMIZER_NAMES = ["adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"]


def build_optimizer(
    model: nn.Module | Iterable[Any], optim_cfg: CfgNode, param_groups: Iterable[Any] | None = None
) -> torch.optim.Optimizer:
    """The optimiser that `optim_cfg.NAME` names, over all parameters of `model`, frozen ones included.

    Args:
        model: A module, or an iterable of parameters or parameter groups.
        optim_cfg: The node `cfg.OPTIM`.
        param_groups: Used as they are, in place of the model's parameters.

    Raises:
        ConfigValueError: An unknown name (also a ValueError).
        TypeError: `STAGED_LR` with something other than a module.
    """
    name = optim_cfg.NAME
    if name not in OPTIMIZER_NAMES:
        hint = nearest(str(name), OPTIMIZER_NAMES)
        raise ConfigValueError(f"optim must be one of {OPTIMIZER_NAMES}, but got {name} (do you mean {hint}?)")
    if param_groups is not None and optim_cfg.STAGED_LR:
        warnings.warn("OPTIM.STAGED_LR is ignored because parameter groups are given", stacklevel=2)
    if param_groups is None:
        param_groups = _parameters(model, optim_cfg)
    return _make(name, param_groups, optim_cfg)


def _parameters(model: nn.Module | Iterable[Any], optim_cfg: CfgNode) -> Iterable[Any]:
    if optim_cfg.STAGED_LR:
        return _staged_groups(model, optim_cfg)
    return model.parameters() if isinstance(model, nn.Module) else model


def _staged_groups(model: nn.Module | Iterable[Any], optim_cfg: CfgNode) -> list[dict[str, Any]]:
    """Children named in NEW_LAYERS train at LR (group 1), the others at LR × BASE_LR_MULT (group 0)."""
    if not isinstance(model, nn.Module):
        raise TypeError("OPTIM.STAGED_LR needs a torch module, not a list of parameters")
    new_layers = optim_cfg.NEW_LAYERS
    new_layers = [new_layers] if isinstance(new_layers, str) else list(new_layers)
    if not any(new_layers):
        warnings.warn("OPTIM.NEW_LAYERS is empty, so OPTIM.STAGED_LR slows all layers down", stacklevel=3)
    slow: list[nn.Parameter] = []
    fast: list[nn.Parameter] = []
    root = model.module if isinstance(model, nn.DataParallel) else model
    for name, child in root.named_children():
        (fast if name in new_layers else slow).extend(child.parameters())
    return [{"params": slow, "lr": optim_cfg.LR * optim_cfg.BASE_LR_MULT}, {"params": fast}]


def _make(name: str, params: Iterable[Any], cfg: CfgNode) -> torch.optim.Optimizer:
    lr, weight_decay = cfg.LR, cfg.WEIGHT_DECAY
    betas = (cfg.ADAM_BETA1, cfg.ADAM_BETA2)
    if name == "sgd":
        return torch.optim.SGD(
            params,
            lr=lr,
            momentum=cfg.MOMENTUM,
            weight_decay=weight_decay,
            dampening=cfg.SGD_DAMPNING,
            nesterov=cfg.SGD_NESTEROV,
        )
    if name == "rmsprop":
        return torch.optim.RMSprop(
            params, lr=lr, momentum=cfg.MOMENTUM, weight_decay=weight_decay, alpha=cfg.RMSPROP_ALPHA
        )
    if name == "radam":
        # The reference implementation of RAdam decays the weights apart from the gradient.
        return torch.optim.RAdam(params, lr=lr, betas=betas, weight_decay=weight_decay, decoupled_weight_decay=True)
    if name == "adamw":
        return torch.optim.AdamW(params, lr=lr, betas=betas, weight_decay=weight_decay)
    return torch.optim.Adam(params, lr=lr, betas=betas, weight_decay=weight_decay, amsgrad=name == "amsgrad")
