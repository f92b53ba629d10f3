"""A short exercise that the mended upstream has to pass before it is used."""

import importlib
import io
import math
from typing import Any

import torch

NEEDED = {
    "dassl.engine": ("TRAINER_REGISTRY", "build_trainer", "TrainerBase", "SimpleTrainer", "TrainerX"),
    "dassl.data": ("DataManager", "DatasetWrapper"),
    "dassl.data.data_manager": ("build_data_loader",),
    "dassl.data.datasets": ("DATASET_REGISTRY", "build_dataset", "Datum", "DatasetBase"),
    "dassl.data.transforms": ("build_transform", "INTERPOLATION_MODES"),
    "dassl.evaluation": ("EVALUATOR_REGISTRY", "build_evaluator", "EvaluatorBase", "Classification"),
    "dassl.optim": ("build_optimizer", "build_lr_scheduler"),
    "dassl.metrics": ("compute_accuracy",),
    "dassl.config": ("get_cfg_default",),
    "dassl.utils": (
        "Registry",
        "setup_logger",
        "AverageMeter",
        "MetricMeter",
        "mkdir_if_missing",
        "check_isfile",
        "read_json",
        "write_json",
        "set_random_seed",
        "collect_env_info",
        "listdir_nohidden",
        "save_checkpoint",
        "load_checkpoint",
        "load_pretrained_weights",
        "count_num_param",
    ),
}
_BASE_LR, _WARMUP_LR, _EPOCHS = 0.002, 1e-5, 10
# Constant warm-up of one epoch, then a cosine over ten, delayed by that epoch.
_EXPECTED = (_WARMUP_LR, _BASE_LR, _BASE_LR * (1 + math.cos(math.pi / _EPOCHS)) / 2)


class ProbeError(Exception):
    """What the probe found; one line."""


def probe() -> None:
    """Check the names, the learning rates behind a warm-up, and that they go on after a resume.

    Raises:
        ProbeError: Something is missing or wrong.
    """
    for module, names in NEEDED.items():
        imported = importlib.import_module(module)
        missing = [name for name in names if not hasattr(imported, name)]
        if missing:
            raise ProbeError(f"{module} lacks {', '.join(missing)}")
    optimizer, scheduler = _toy()
    rates = [_rate(optimizer)]
    rates.append(_advance(optimizer, scheduler))
    saved = _through_a_file(optimizer, scheduler)
    rates.append(_advance(optimizer, scheduler))
    if not all(math.isclose(rate, expected, rel_tol=1e-9) for rate, expected in zip(rates, _EXPECTED, strict=True)):
        raise ProbeError(f"warm-up gives the learning rates {rates}, expected {list(_EXPECTED)}")
    resumed_optimizer, resumed_scheduler = _toy()
    resumed_optimizer.load_state_dict(saved["optimizer"])
    resumed_scheduler.load_state_dict(saved["scheduler"])
    resumed = _advance(resumed_optimizer, resumed_scheduler)
    if resumed != rates[2]:
        raise ProbeError(f"after a resume the learning rate is {resumed}, expected {rates[2]}")


def _toy() -> tuple[torch.optim.Optimizer, Any]:
    optim_cfg = importlib.import_module("dassl.config").get_cfg_default().OPTIM
    optim_cfg.NAME, optim_cfg.LR, optim_cfg.MAX_EPOCH = "sgd", _BASE_LR, _EPOCHS
    optim_cfg.LR_SCHEDULER, optim_cfg.WARMUP_EPOCH, optim_cfg.WARMUP_TYPE = "cosine", 1, "constant"
    optim_cfg.WARMUP_CONS_LR = _WARMUP_LR
    optim = importlib.import_module("dassl.optim")
    optimizer = optim.build_optimizer([torch.nn.Parameter(torch.zeros(1))], optim_cfg)
    return optimizer, optim.build_lr_scheduler(optimizer, optim_cfg)


def _advance(optimizer: torch.optim.Optimizer, scheduler: Any) -> float:
    optimizer.step()
    scheduler.step()
    return _rate(optimizer)


def _rate(optimizer: torch.optim.Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def _through_a_file(optimizer: torch.optim.Optimizer, scheduler: Any) -> Any:
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
