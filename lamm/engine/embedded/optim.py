"""Optimizers and learning-rate schedules by name, with the settings of `cfg.OPTIM`."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, StepLR
from yacs.config import CfgNode

from lamm.engine.embedded.registry import ChoiceError
from lamm.errors import nearest

OPTIMIZER_NAMES = ["adam", "amsgrad", "sgd", "rmsprop", "radam", "adamw"]
SCHEDULER_NAMES = ["single_step", "multi_step", "cosine"]
WARMUP_TYPES = ["linear", "constant"]


class RAdam(torch.optim.RAdam):
    """torch's RAdam with the weight decay of the reference implementation: apart from the gradient."""

    def __init__(self, params: Iterable[Any], *options: Any, **named_options: Any) -> None:
        super().__init__(params, *options, **{**named_options, "decoupled_weight_decay": True})


def build_optimizer(
    model: nn.Module | Iterable[Any], optim_cfg: CfgNode, param_groups: Iterable[Any] | None = None
) -> Optimizer:
    """The optimizer that `optim_cfg.NAME` names, over all parameters of `model`, frozen ones included.

    Args:
        model: A module, or an iterable of parameters or parameter groups.
        optim_cfg: The node `cfg.OPTIM`.
        param_groups: Used as they are, in place of the model's parameters.

    Raises:
        ChoiceError: An unknown name (also a ValueError).
        TypeError: `STAGED_LR` with something other than a module.
    """
    cfg, name = optim_cfg, optim_cfg.NAME
    if name not in OPTIMIZER_NAMES:
        guess = nearest(str(name), OPTIMIZER_NAMES)
        hint = f" (do you mean {guess}?)" if guess else ""
        raise ChoiceError(f"optim must be one of {OPTIMIZER_NAMES}, but got {name}{hint}")
    if param_groups is not None:
        if cfg.STAGED_LR:
            warnings.warn("OPTIM.STAGED_LR is ignored because parameter groups are given", stacklevel=2)
    elif cfg.STAGED_LR:
        param_groups = _staged_groups(model, cfg)
    else:
        param_groups = model.parameters() if isinstance(model, nn.Module) else model

    common: dict[str, Any] = {"lr": cfg.LR, "weight_decay": cfg.WEIGHT_DECAY}
    if name == "sgd":
        options = {"momentum": cfg.MOMENTUM, "dampening": cfg.SGD_DAMPNING, "nesterov": cfg.SGD_NESTEROV}
        return torch.optim.SGD(param_groups, **common, **options)
    if name == "rmsprop":
        return torch.optim.RMSprop(param_groups, **common, momentum=cfg.MOMENTUM, alpha=cfg.RMSPROP_ALPHA)
    common["betas"] = (cfg.ADAM_BETA1, cfg.ADAM_BETA2)
    if name == "radam":
        return RAdam(param_groups, **common)
    if name == "adamw":
        return torch.optim.AdamW(param_groups, **common)
    return torch.optim.Adam(param_groups, **common, amsgrad=name == "amsgrad")


def _staged_groups(model: nn.Module | Iterable[Any], cfg: CfgNode) -> list[dict[str, Any]]:
    """Children named in NEW_LAYERS train at LR (group 1), the others at LR × BASE_LR_MULT (group 0)."""
    if not isinstance(model, nn.Module):
        raise TypeError("OPTIM.STAGED_LR needs a torch module, not a list of parameters")
    new_layers = [cfg.NEW_LAYERS] if isinstance(cfg.NEW_LAYERS, str) else list(cfg.NEW_LAYERS)
    if not any(new_layers):
        warnings.warn("OPTIM.NEW_LAYERS is empty, so OPTIM.STAGED_LR slows all layers down", stacklevel=3)
    slow: list[nn.Parameter] = []
    fast: list[nn.Parameter] = []
    root = model.module if isinstance(model, nn.DataParallel) else model
    for name, child in root.named_children():
        (fast if name in new_layers else slow).extend(child.parameters())
    return [{"params": slow, "lr": cfg.LR * cfg.BASE_LR_MULT}, {"params": fast}]


def build_lr_scheduler(optimizer: Optimizer, optim_cfg: CfgNode) -> LRScheduler:
    """The schedule that `optim_cfg.LR_SCHEDULER` names, behind a warm-up if `WARMUP_EPOCH` is above 0.

    Raises:
        ChoiceError: An unknown schedule or warm-up type (also a ValueError).
        TypeError: A `STEPSIZE` of the wrong type.
    """
    scheduler = _schedule(optimizer, optim_cfg)
    warmup_epoch = optim_cfg.WARMUP_EPOCH
    if warmup_epoch <= 0:
        return scheduler
    if not optim_cfg.WARMUP_RECOUNT:
        scheduler.last_epoch = warmup_epoch
    if optim_cfg.WARMUP_TYPE == "constant":
        return ConstantWarmupScheduler(optimizer, scheduler, warmup_epoch, optim_cfg.WARMUP_CONS_LR)
    if optim_cfg.WARMUP_TYPE == "linear":
        return LinearWarmupScheduler(optimizer, scheduler, warmup_epoch, optim_cfg.WARMUP_MIN_LR)
    raise ChoiceError(f"OPTIM.WARMUP_TYPE must be one of {WARMUP_TYPES}, but got {optim_cfg.WARMUP_TYPE}")


def _schedule(optimizer: Optimizer, cfg: CfgNode) -> LRScheduler:
    name, stepsize = cfg.LR_SCHEDULER, cfg.STEPSIZE
    if name == "cosine":
        return CosineAnnealingLR(optimizer, float(cfg.MAX_EPOCH))  # type: ignore[arg-type]
    if name == "single_step":
        if isinstance(stepsize, (list, tuple)):
            stepsize = stepsize[-1]
        if not isinstance(stepsize, int):
            raise TypeError(f"OPTIM.STEPSIZE of single_step must end in an integer, but got {stepsize!r}")
        return StepLR(optimizer, step_size=stepsize if stepsize > 0 else cfg.MAX_EPOCH, gamma=cfg.GAMMA)
    if name == "multi_step":
        if not isinstance(stepsize, (list, tuple)):
            raise TypeError(f"OPTIM.STEPSIZE of multi_step must be a list, but got {type(stepsize).__name__}")
        return MultiStepLR(optimizer, milestones=list(stepsize), gamma=cfg.GAMMA)
    guess = nearest(str(name), SCHEDULER_NAMES)
    hint = f" (do you mean {guess}?)" if guess else ""
    raise ChoiceError(f"scheduler must be one of {SCHEDULER_NAMES}, but got {name}{hint}")


class WarmupScheduler(LRScheduler):
    """Rates of its own for `warmup_epoch` epochs, then those of `successor`, which drives the same optimizer."""

    def __init__(self, optimizer: Optimizer, successor: LRScheduler, warmup_epoch: int, last_epoch: int = -1) -> None:
        self.successor = successor
        self.warmup_epoch = warmup_epoch
        super().__init__(optimizer, last_epoch)

    def warmup_lr(self, epoch: int, base_lr: float) -> float:
        """The rate of warm-up epoch `epoch`, 0 ≤ epoch < `warmup_epoch`."""
        raise NotImplementedError

    def get_lr(self) -> list[Any]:
        if self.last_epoch >= self.warmup_epoch:
            return self.successor.get_last_lr()
        return [self.warmup_lr(self.last_epoch, float(base)) for base in self.base_lrs]

    def step(self, epoch: int | None = None) -> None:
        if self.last_epoch < self.warmup_epoch:
            super().step(epoch)
            return
        self.successor.step(epoch)
        self._last_lr = self.successor.get_last_lr()

    # Dassl's own warm-up schedulers are given these two methods too (`upstream`).

    def state_dict(self) -> dict[str, Any]:
        """All counters as plain data; the successor's state is nested under `successor`."""
        state = {key: value for key, value in vars(self).items() if key not in ("optimizer", "successor")}
        state["successor"] = self.successor.state_dict()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave, or a state that holds the successor as an object."""
        own = dict(state_dict)
        own.pop("optimizer", None)
        successor = own.pop("successor", None)
        vars(self).update(own)
        if successor is None:
            return
        if not isinstance(successor, Mapping):
            successor = successor.state_dict()
        # A successor saved as an object brings a copy of the optimizer, which must not replace the one in use.
        self.successor.load_state_dict({key: value for key, value in successor.items() if key != "optimizer"})


class ConstantWarmupScheduler(WarmupScheduler):
    """The rate is `cons_lr` during the warm-up."""

    def __init__(
        self, optimizer: Optimizer, successor: LRScheduler, warmup_epoch: int, cons_lr: float, last_epoch: int = -1
    ) -> None:
        self.cons_lr = cons_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch)

    def warmup_lr(self, epoch: int, base_lr: float) -> float:
        return self.cons_lr


class LinearWarmupScheduler(WarmupScheduler):
    """The rate is `min_lr` in epoch 0, then the share e/w of the base rate in epoch e of w."""

    def __init__(
        self, optimizer: Optimizer, successor: LRScheduler, warmup_epoch: int, min_lr: float, last_epoch: int = -1
    ) -> None:
        self.min_lr = min_lr
        super().__init__(optimizer, successor, warmup_epoch, last_epoch)

    def warmup_lr(self, epoch: int, base_lr: float) -> float:
        return self.min_lr if epoch == 0 else base_lr * epoch / self.warmup_epoch
