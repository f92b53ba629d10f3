"""Upstream Dassl: found, imported, mended from outside where current libraries break it, and probed.

Nothing in the installed package is edited, and `torch.load` keeps its safe default.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import io
import math
import os
import sys
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler
from yacs.config import CfgNode

from lamm.engine.embedded.optim import load_warmup_state, warmup_state
from lamm.engine.embedded.transforms import decoding_of
from lamm.engine.embedded.worker_count import MOST, SIZED, usable_cores
from lamm.errors import ConfigError, DataError

_MENDED = "_mended_by_lamm"


def mend_loaders(data_manager: Any) -> None:
    """Have a module's `build_data_loader` size its workers to the machine; a second call changes nothing.

    Args:
        data_manager: The imported `dassl.data.data_manager`.
    """
    original = data_manager.build_data_loader
    if hasattr(original, _MENDED):
        return

    @functools.wraps(original)
    def build_data_loader(cfg: CfgNode, *arguments: Any, **options: Any) -> Any:
        decoding = decoding_of(cfg.INPUT)
        if decoding != "exact":
            raise ConfigError(f"INPUT.DECODING {decoding} needs the embedded engine: set LAMM_ENGINE=embedded")
        return original(_with_sized_workers(cfg), *arguments, **options)

    setattr(build_data_loader, _MENDED, True)
    data_manager.build_data_loader = build_data_loader


def _with_sized_workers(cfg: CfgNode) -> CfgNode:
    if cfg.DATALOADER.NUM_WORKERS != SIZED:
        return cfg
    sized = cfg.clone()
    sized.defrost()
    sized.DATALOADER.NUM_WORKERS = min(MOST, usable_cores())
    sized.freeze()
    return sized


_WILDS = "dassl.data.datasets.dg.wilds"


def mend_before_import() -> None:
    """Stand-ins that let `import dassl.data` and `import dassl.engine` succeed."""
    if _WILDS not in sys.modules:
        sys.modules[_WILDS] = ModuleType(_WILDS, "Left out: the WILDS data sets.")
    if "gdown" not in sys.modules and importlib.util.find_spec("gdown") is None:
        gdown = ModuleType("gdown", "Stand-in: gdown is not installed.")
        vars(gdown)["download"] = _no_gdown
        sys.modules["gdown"] = gdown
    if "int" not in vars(np):
        vars(np)["int"] = int


def mend_after_import() -> None:
    """Put right the classes of the imported package; a second call changes nothing."""
    _mend_warmup(importlib.import_module("dassl.optim.lr_scheduler")._BaseWarmupScheduler)
    _mend_logger(importlib.import_module("dassl.utils.logger").Logger)
    mend_loaders(importlib.import_module("dassl.data.data_manager"))


def _no_gdown(url: str, *arguments: Any, **options: Any) -> NoReturn:
    raise DataError(f'can\'t download "{url}": gdown is not installed; pip install gdown, or fetch the file by hand')


def _mend_warmup(base: Any) -> None:
    if _MENDED in vars(base):
        return

    def init(
        self: Any, optimizer: Any, successor: Any, warmup_epoch: int, last_epoch: int = -1, verbose: bool = False
    ) -> None:
        self.successor = successor
        self.warmup_epoch = warmup_epoch
        LRScheduler.__init__(self, optimizer, last_epoch)

    base.__init__ = init
    base.state_dict = warmup_state
    base.load_state_dict = load_warmup_state
    setattr(base, _MENDED, True)


def _mend_logger(logger: Any) -> None:
    if _MENDED in vars(logger):
        return

    def from_console(self: Any, name: str) -> Any:
        if name in ("console", "file"):
            raise AttributeError(name)
        return getattr(self.console, name)

    def flush(self: Any) -> None:
        self.console.flush()
        if self.file is not None and not self.file.closed:
            self.file.flush()
            os.fsync(self.file.fileno())

    def write(self: Any, msg: str) -> int:
        self.console.write(msg)
        if self.file is not None and not self.file.closed:
            self.file.write(msg)
        return len(msg)

    def close(self: Any) -> None:
        if self.file is not None:
            self.file.close()

    logger.__getattr__ = from_console
    logger.flush = flush
    logger.write = write
    logger.close = close
    logger.__del__ = close
    logger.__exit__ = lambda self, *details: self.close()
    setattr(logger, _MENDED, True)


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


__all__ = ["ALIAS_MARK", "UpstreamFault", "is_alias", "is_installed", "prepare"]

ALIAS_MARK = "__answered_by_embedded_engine__"


class UpstreamFault(Exception):
    """Why the installed dassl can't be used; one line."""


def is_alias() -> bool:
    """Whether the module called `dassl` in this process is the embedded engine's alias."""
    return hasattr(sys.modules.get("dassl"), ALIAS_MARK)


def is_installed() -> bool:
    """Whether a package called `dassl` can be imported; a plain folder of that name does not count."""
    if is_alias():
        return _found_beside_aliases()
    if "dassl" in sys.modules:
        return True
    spec = importlib.util.find_spec("dassl")
    return spec is not None and spec.origin is not None


def _found_beside_aliases() -> bool:
    spec = importlib.machinery.PathFinder.find_spec("dassl")
    return spec is not None and spec.origin is not None


def prepare() -> str:
    """Import, mend and probe; the version.

    Raises:
        UpstreamFault: It can't run here. Modules that this call imported are taken out again.
    """
    before = set(sys.modules)
    try:
        mend_before_import()
        importlib.import_module("dassl")
        _import_all()
        mend_after_import()
        probe()
    except Exception as error:
        _forget(set(sys.modules) - before)
        text = " ".join(str(error).split())
        raise UpstreamFault(f"{type(error).__name__}: {text}") from error
    return _version(sys.modules["dassl"])


def _import_all() -> None:
    for name in ("dassl.utils", "dassl.config", "dassl.optim", "dassl.data", "dassl.evaluation", "dassl.engine"):
        importlib.import_module(name)


def _forget(names: set[str]) -> None:
    for name in names:
        if name == "dassl" or name.startswith("dassl."):
            del sys.modules[name]


def _version(module: ModuleType) -> str:
    version = getattr(module, "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version("dassl")
        except importlib.metadata.PackageNotFoundError:
            version = "of unknown version"
    return str(version)
