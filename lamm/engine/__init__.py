"""The one door to the engine: upstream Dassl or the embedded engine, under the same names.

`ENGINE` says which one answers. The log tee, checkpoint files, meters and small functions are the embedded engine's in
both cases: they don't depend on the engine, upstream's fail on current libraries, and its older forks lack some.
"""

from typing import TYPE_CHECKING

from lamm.engine.choice import EngineChoice, choose_engine
from lamm.engine.embedded.checkpoint import load_checkpoint, save_checkpoint
from lamm.engine.embedded.dassl_utils import (
    collect_env_info,
    count_num_param,
    load_pretrained_weights,
    set_random_seed,
)
from lamm.engine.embedded.evaluation import compute_accuracy
from lamm.engine.embedded.log import AverageMeter, MetricMeter, setup_logger
from lamm.engine.embedded.transforms import INTERPOLATION_MODES

ENGINE: EngineChoice = choose_engine()

if TYPE_CHECKING or ENGINE.name == "embedded":
    from lamm.engine.embedded.config import get_cfg_default
    from lamm.engine.embedded.data_manager import DataManager, DatasetWrapper, build_data_loader
    from lamm.engine.embedded.datum import DatasetBase, Datum
    from lamm.engine.embedded.evaluation import EVALUATOR_REGISTRY, Classification, EvaluatorBase, build_evaluator
    from lamm.engine.embedded.optim import build_lr_scheduler, build_optimizer
    from lamm.engine.embedded.registry import DATASET_REGISTRY, TRAINER_REGISTRY, Registry, build_dataset, build_trainer
    from lamm.engine.embedded.trainer import SimpleTrainer, TrainerBase, TrainerX
    from lamm.engine.embedded.transforms import build_transform
else:  # `upstream.NEEDED` lists the same names
    from dassl.config import get_cfg_default
    from dassl.data import DataManager, DatasetWrapper
    from dassl.data.data_manager import build_data_loader
    from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum, build_dataset
    from dassl.data.transforms import build_transform
    from dassl.engine import TRAINER_REGISTRY, SimpleTrainer, TrainerBase, TrainerX, build_trainer
    from dassl.evaluation import EVALUATOR_REGISTRY, Classification, EvaluatorBase, build_evaluator
    from dassl.optim import build_lr_scheduler, build_optimizer
    from dassl.utils import Registry

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
