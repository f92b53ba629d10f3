"""The one door to the engine: upstream Dassl or the embedded engine, under the same names.

`ENGINE` says which one answers. The log tee, checkpoint files, meters and small functions are the embedded engine's in
both cases: they don't depend on the engine, upstream's fail on current libraries, and its older forks lack some.

A name is imported when it is first asked for, so that a command which only looks at data or settings needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lamm.engine.choice import EngineChoice, choose_engine

if TYPE_CHECKING:
    from lamm.engine.embedded.checkpoint import load_checkpoint, save_checkpoint
    from lamm.engine.embedded.config import get_cfg_default
    from lamm.engine.embedded.dassl_utils import (
        collect_env_info,
        count_num_param,
        load_pretrained_weights,
        set_random_seed,
    )
    from lamm.engine.embedded.data_manager import DataManager, DatasetWrapper, build_data_loader
    from lamm.engine.embedded.datum import DatasetBase, Datum
    from lamm.engine.embedded.evaluation import (
        EVALUATOR_REGISTRY,
        Classification,
        EvaluatorBase,
        build_evaluator,
        compute_accuracy,
    )
    from lamm.engine.embedded.log import setup_logger
    from lamm.engine.embedded.meters import AverageMeter, MetricMeter
    from lamm.engine.embedded.optim import build_lr_scheduler, build_optimizer
    from lamm.engine.embedded.registry import DATASET_REGISTRY, TRAINER_REGISTRY, Registry, build_dataset, build_trainer
    from lamm.engine.embedded.trainer import SimpleTrainer, TrainerBase, TrainerX
    from lamm.engine.embedded.transforms import INTERPOLATION_MODES, build_transform

ENGINE: EngineChoice = choose_engine()

_ALWAYS = {
    "lamm.engine.embedded.checkpoint": "load_checkpoint save_checkpoint",
    "lamm.engine.embedded.dassl_utils": "collect_env_info count_num_param load_pretrained_weights set_random_seed",
    "lamm.engine.embedded.evaluation": "compute_accuracy",
    "lamm.engine.embedded.log": "setup_logger",
    "lamm.engine.embedded.meters": "AverageMeter MetricMeter",
    "lamm.engine.embedded.transforms": "INTERPOLATION_MODES",
}
_EMBEDDED = {
    "lamm.engine.embedded.config": "get_cfg_default",
    "lamm.engine.embedded.data_manager": "DataManager DatasetWrapper build_data_loader",
    "lamm.engine.embedded.datum": "DatasetBase Datum",
    "lamm.engine.embedded.evaluation": "EVALUATOR_REGISTRY Classification EvaluatorBase build_evaluator",
    "lamm.engine.embedded.optim": "build_lr_scheduler build_optimizer",
    "lamm.engine.embedded.registry": "DATASET_REGISTRY TRAINER_REGISTRY Registry build_dataset build_trainer",
    "lamm.engine.embedded.trainer": "SimpleTrainer TrainerBase TrainerX",
    "lamm.engine.embedded.transforms": "build_transform",
}
_UPSTREAM = {  # `upstream.NEEDED` lists the same names
    "dassl.config": "get_cfg_default",
    "dassl.data": "DataManager DatasetWrapper",
    "dassl.data.data_manager": "build_data_loader",
    "dassl.data.datasets": "DATASET_REGISTRY DatasetBase Datum build_dataset",
    "dassl.data.transforms": "build_transform",
    "dassl.engine": "TRAINER_REGISTRY SimpleTrainer TrainerBase TrainerX build_trainer",
    "dassl.evaluation": "EVALUATOR_REGISTRY Classification EvaluatorBase build_evaluator",
    "dassl.optim": "build_lr_scheduler build_optimizer",
    "dassl.utils": "Registry",
}
_MODULES = {
    name: module
    for names_by_module in (_ALWAYS, _EMBEDDED if ENGINE.name == "embedded" else _UPSTREAM)
    for module, names in names_by_module.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    """A name of the engine in charge."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value  # the next time it is found without this function
    return value


__all__ = [
    "DATASET_REGISTRY",
    "ENGINE",
    "EVALUATOR_REGISTRY",
    "INTERPOLATION_MODES",
    "TRAINER_REGISTRY",
    "AverageMeter",
    "Classification",
    "DataManager",
    "DatasetBase",
    "DatasetWrapper",
    "Datum",
    "EngineChoice",
    "EvaluatorBase",
    "MetricMeter",
    "Registry",
    "SimpleTrainer",
    "TrainerBase",
    "TrainerX",
    "build_data_loader",
    "build_dataset",
    "build_evaluator",
    "build_lr_scheduler",
    "build_optimizer",
    "build_trainer",
    "build_transform",
    "collect_env_info",
    "compute_accuracy",
    "count_num_param",
    "get_cfg_default",
    "load_checkpoint",
    "load_pretrained_weights",
    "save_checkpoint",
    "set_random_seed",
    "setup_logger",
]
