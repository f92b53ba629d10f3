"""Upstream Dassl: looked for, imported, mended from outside where current libraries break it, and probed.

Nothing in the installed package is edited, and `torch.load` keeps its safe default.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import math
import sys
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler
from yacs.config import CfgNode

from lamm.engine.embedded.data_manager import DatasetWrapper
from lamm.engine.embedded.loader import MOST, SIZED
from lamm.engine.embedded.log import Logger
from lamm.engine.embedded.models import RegisteredModels
from lamm.engine.embedded.optim import WarmupScheduler
from lamm.engine.embedded.registry import Registry
from lamm.engine.embedded.transforms import decoding_of, has_own_images, upright_of
from lamm.errors import ConfigError, DataError
from lamm.memory import usable_cores

WRAPPER = 8
"""Place of `dataset_wrapper` among the arguments of `build_data_loader`, behind the config."""
_MENDED = "_mended_by_lamm"
_WILDS = "dassl.data.datasets.dg.wilds"

NEEDED = {
    "dassl.engine": "TRAINER_REGISTRY build_trainer TrainerBase SimpleTrainer TrainerX",
    "dassl.data": "DataManager DatasetWrapper",
    "dassl.data.data_manager": "build_data_loader",
    "dassl.data.datasets": "DATASET_REGISTRY build_dataset Datum DatasetBase",
    "dassl.data.transforms": "build_transform",
    "dassl.evaluation": "EVALUATOR_REGISTRY build_evaluator EvaluatorBase Classification",
    "dassl.optim": "build_optimizer build_lr_scheduler",
    "dassl.config": "get_cfg_default",
    "dassl.utils": "Registry",
}
"""Names that the probe asks for, by module: those that we use, since the family's forks lack some of the others."""


class UpstreamFault(Exception):
    """Why the installed dassl can't be used; one line."""


def prepare() -> str:
    """Import, mend and probe; the version.

    Raises:
        UpstreamFault: It can't run here. Modules that this call imported are taken out again.
    """
    imported = set(sys.modules)
    silenced = logging.root.manager.disable
    if silenced == logging.WARNING and f"{_WILDS}.wilds_base" in sys.modules:
        silenced = logging.NOTSET  # that module silences the whole process; the program has imported it
    try:
        mend_before_import()
        for name in ("utils", "config", "optim", "data", "evaluation", "engine"):
            importlib.import_module(f"dassl.{name}")
        mend_after_import()
        probe()
    except Exception as error:
        for name in set(sys.modules) - imported:
            if name == "dassl" or name.startswith("dassl."):
                del sys.modules[name]
        text = " ".join(str(error).split())
        raise UpstreamFault(text if isinstance(error, UpstreamFault) else f"{type(error).__name__}: {text}") from error
    finally:
        logging.disable(silenced)
    try:
        return str(getattr(sys.modules["dassl"], "__version__", None) or importlib.metadata.version("dassl"))
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


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


def _no_gdown(url: str, *arguments: Any, **options: Any) -> NoReturn:
    raise DataError(f'can\'t download "{url}": gdown is not installed; pip install gdown, or fetch the file by hand')


def mend_after_import() -> None:
    """Put right the classes and functions of the imported package; a second call changes nothing."""
    _mend_warmup(importlib.import_module("dassl.optim.lr_scheduler")._BaseWarmupScheduler)
    _mend_logger(importlib.import_module("dassl.utils.logger").Logger)
    mend_loaders(importlib.import_module("dassl.data.data_manager"))
    _mend_registry(importlib.import_module("dassl.utils").Registry)
    _mend_checkpoints(importlib.import_module("dassl.engine").TrainerBase)


def _mend_warmup(base: Any) -> None:
    """No positional `verbose` for torch's constructor, and a state without objects in it."""
    if _MENDED in vars(base):
        return

    def init(
        self: Any, optimizer: Any, successor: Any, warmup_epoch: int, last_epoch: int = -1, verbose: bool = False
    ) -> None:
        self.successor = successor
        self.warmup_epoch = warmup_epoch
        LRScheduler.__init__(self, optimizer, last_epoch)

    base.__init__ = init
    base.state_dict = WarmupScheduler.state_dict
    base.load_state_dict = WarmupScheduler.load_state_dict
    setattr(base, _MENDED, True)


def _mend_logger(logger: Any) -> None:
    """The tee answers like its console, closes its file only, and loses no line: it does what ours does."""
    if _MENDED in vars(logger):
        return
    logger.shown, logger._line = True, ""
    for name in ("write", "_write_to_console", "flush", "close", "__getattr__", "__exit__"):
        setattr(logger, name, vars(Logger)[name])
    logger.__del__ = logger.close
    setattr(logger, _MENDED, True)


def _mend_registry(registry: Any) -> None:
    """Our trainers and data sets are offered, as in our own registry: none of their names is ever taken."""
    if _MENDED in vars(registry):
        return
    get, registered_names = registry.get, registry.registered_names

    def get_or_offer(self: Any, name: str) -> Any:
        registered = get(self, name) if name in registered_names(self) else None
        offer = self.standing_offer(name, registered)
        return get(self, name) if offer is None else offer

    registry.get = registry.outline = get_or_offer
    registry.registered_names = lambda self: self.with_offers(registered_names(self))
    for name in ("offer", "standing_offer", "with_offers"):
        setattr(registry, name, vars(Registry)[name])
    setattr(registry, _MENDED, True)


def _mend_checkpoints(trainer: Any) -> None:
    """Checkpoints are never half-written and resume exactly, as ours; those of `last_step` load too."""
    for name in ("save_model", "resume_model_if_exist", "load_model"):
        setattr(trainer, name, vars(RegisteredModels)[name])


def mend_loaders(data_manager: Any) -> None:
    """Have Dassl's `build_data_loader` size its workers, and read a user's own images as ours does.

    A second call changes nothing.
    """
    original = data_manager.build_data_loader
    if hasattr(original, _MENDED):
        return

    @functools.wraps(original)
    def build_data_loader(cfg: CfgNode, *arguments: Any, **options: Any) -> Any:
        decoding = decoding_of(cfg.INPUT)
        if decoding != "exact":
            raise ConfigError(f"INPUT.DECODING {decoding} needs the embedded engine: set LAMM_ENGINE=embedded")
        if cfg.DATALOADER.NUM_WORKERS == SIZED:
            cfg = cfg.clone()
            cfg.defrost()
            cfg.DATALOADER.NUM_WORKERS = min(MOST, usable_cores())
            cfg.freeze()
        if (has_own_images(cfg) or upright_of(cfg)) and len(arguments) < WRAPPER:
            options["dataset_wrapper"] = options.get("dataset_wrapper") or DatasetWrapper
        return original(cfg, *arguments, **options)

    setattr(build_data_loader, _MENDED, True)
    data_manager.build_data_loader = build_data_loader


def probe() -> None:
    """Check the names, the learning rates behind a warm-up, and that they go on after a resume.

    Raises:
        UpstreamFault: Something is missing or wrong.
    """
    for module, names in NEEDED.items():
        missing = [name for name in names.split() if not hasattr(importlib.import_module(module), name)]
        if missing:
            raise UpstreamFault(f"{module} lacks {', '.join(missing)}")

    base_lr, warmup_lr, epochs = 0.002, 1e-5, 10
    cfg = importlib.import_module("dassl.config").get_cfg_default().OPTIM
    cfg.NAME, cfg.LR, cfg.MAX_EPOCH, cfg.LR_SCHEDULER = "sgd", base_lr, epochs, "cosine"
    cfg.WARMUP_EPOCH, cfg.WARMUP_TYPE, cfg.WARMUP_CONS_LR = 1, "constant", warmup_lr
    optim = importlib.import_module("dassl.optim")

    def build() -> tuple[Any, Any]:
        optimizer = optim.build_optimizer([torch.nn.Parameter(torch.zeros(1))], cfg)
        return optimizer, optim.build_lr_scheduler(optimizer, cfg)

    def next_rate(optimizer: Any, scheduler: Any) -> float:
        optimizer.step()
        scheduler.step()
        return float(optimizer.param_groups[0]["lr"])

    optimizer, scheduler = build()
    rates = [float(optimizer.param_groups[0]["lr"]), next_rate(optimizer, scheduler)]
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    rates.append(next_rate(optimizer, scheduler))
    # Constant warm-up of one epoch, then a cosine over ten, delayed by that epoch.
    expected = [warmup_lr, base_lr, base_lr * (1 + math.cos(math.pi / epochs)) / 2]
    if not all(math.isclose(rate, wanted, rel_tol=1e-9) for rate, wanted in zip(rates, expected, strict=True)):
        raise UpstreamFault(f"warm-up gives the learning rates {rates}, expected {expected}")
    optimizer, scheduler = build()
    for part, state in zip((optimizer, scheduler), torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    resumed = next_rate(optimizer, scheduler)
    if resumed != rates[2]:
        raise UpstreamFault(f"after a resume the learning rate is {resumed}, expected {rates[2]}")
