"""From the arguments of train.py to everything that one run needs: names, config, folder."""

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.datasets import DEMO
from lamm.engine import TRAINER_REGISTRY, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.errors import CheckpointError, ConfigError
from lamm.results.protocols import EVALUATION, FEW_SHOT, INCREMENTAL
from lamm.run.config_files import dataset_config, trainer_config
from lamm.run.folder_names import output_folder, override_suffix
from lamm.run.incremental_steps import check_incremental, name_with_step, step_of
from lamm.run.own_data import settle_own_data
from lamm.run.settings import flag_settings, option_pairs, set_key
from lamm.run.value_checks import check_values
from lamm.suggest import unknown_name


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Attributes:
        trainer: registered name.
        trainer_class: what is registered under it.
        dataset: name on the command line, or of the data set's config file; for someone's own images that of the place
            they are in.
        cfg_name: name of the config file with overrides, as in the output path; of a step of class-incremental
            learning with `/step<t>` behind it.
        cfg: the frozen config; of a run that only tests, `EVALUATION` says which model.
    """

    trainer: str
    trainer_class: Any
    dataset: str
    cfg_name: str
    cfg: CfgNode

    @property
    def output_dir(self) -> Path:
        """The run's folder."""
        return Path(self.cfg.OUTPUT_DIR)

    @property
    def protocol(self) -> str:
        """Kind of experiment: few-shot, one step of several, or evaluation of a model that is there."""
        if step_of(self.cfg):
            return INCREMENTAL
        return EVALUATION if "EVALUATION" in self.cfg else FEW_SHOT


def plan_run(arguments: argparse.Namespace, extend_cfg: Callable[[CfgNode], None]) -> RunPlan:
    """Work a run out.

    Args:
        arguments: of train.py.
        extend_cfg: adds the trainers' config keys.

    Raises:
        ConfigError: an unknown name, key or value, or arguments that don't go together.
        CheckpointError: a folder to load or resume from that does not exist.
    """
    _check_arguments(arguments)
    flags, pairs = flag_settings(arguments), option_pairs(arguments)
    cfg = get_cfg_default()
    extend_cfg(cfg)
    usual_folder = cfg.OUTPUT_DIR
    dataset, dataset_file = _dataset(arguments)
    trainer = _trainer_name(arguments, {**flags, **dict(pairs)}, cfg)
    trainer_class = TRAINER_REGISTRY.get(trainer)
    config_file = Path(arguments.config_file or default_config(trainer, trainer_class, dataset))
    merge_config(cfg, [dataset_file, config_file], [])
    for key, value in flags.items():
        set_key(cfg, key, value)
    merge_config(cfg, [], arguments.opts)
    check_values(cfg)
    check_incremental(cfg, trainer, trainer_class, arguments.eval_only)
    cfg.TRAINER.NAME = trainer
    cfg.DATASET.ROOT = _absolute(cfg.DATASET.ROOT or "data")
    dataset = settle_own_data(cfg) or dataset
    named = [*flags.items(), *pairs]
    if arguments.eval_only:
        named += _set_evaluation(cfg, arguments)
    cfg_name = config_file.stem + override_suffix(named, cfg)
    if usual_folder == cfg.OUTPUT_DIR:
        shots = cfg.DATASET.NUM_SHOTS
        step = step_of(cfg)
        cfg.OUTPUT_DIR = str(output_folder(dataset, shots, trainer, cfg_name, cfg.SEED, arguments.eval_only, step))
    _settle_resume(cfg)
    cfg.freeze()
    return RunPlan(trainer, trainer_class, dataset, name_with_step(cfg_name, cfg), cfg)


def default_config(trainer: str, trainer_class: Any, dataset: str) -> Path:
    """The config file of a run that names none: the trainer's own, on demo data the one for the embedded model.

    Raises:
        ConfigError: the trainer has no default.
    """
    name = getattr(trainer_class, "tiny_config" if dataset in DEMO else "default_config", "")
    if not name:
        raise ConfigError(f"trainer {trainer} has no default config: give --config-file")
    return trainer_config(trainer, name)


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse flags that don't go together: one of them would silently have no effect."""
    if arguments.shots is not None and arguments.shots < 1:
        raise ConfigError(f"--shots must be 1 or above, got {arguments.shots}; leave it out to train on all images")
    if arguments.dataset and arguments.dataset_config_file:
        raise ConfigError("--dataset and --dataset-config-file both name the data set: give one of them")
    if not arguments.eval_only and (arguments.model_dir or arguments.load_epoch is not None):
        raise ConfigError("--model-dir and --load-epoch are for --eval-only; --resume continues a training")
    if arguments.eval_only and (arguments.no_train or arguments.resume):
        raise ConfigError("--eval-only trains nothing: leave --no-train and --resume out")
    if arguments.model_dir and not Path(arguments.model_dir).is_dir():
        raise CheckpointError(f"--model-dir {arguments.model_dir} is not a folder; give that of a training run")


def _dataset(arguments: argparse.Namespace) -> tuple[str, Path]:
    """Name and config file of the data set."""
    if arguments.dataset_config_file:
        file = Path(arguments.dataset_config_file)
        return file.stem, file
    if not arguments.dataset:
        raise ConfigError("--dataset is missing; see train.py --help")
    return arguments.dataset, dataset_config(arguments.dataset)


def _trainer_name(arguments: argparse.Namespace, given: dict[str, Any], cfg: CfgNode) -> str:
    """The trainer asked for; the config file may name it where the command line doesn't."""
    name = str(given.get("TRAINER.NAME", ""))
    if not name and arguments.config_file:
        probe = cfg.clone()
        merge_config(probe, [arguments.config_file], [])
        name = probe.TRAINER.NAME
    if not name:
        raise ConfigError("--trainer is missing; see train.py --help")
    if name not in TRAINER_REGISTRY.registered_names():
        raise ConfigError(unknown_name("trainer", name, TRAINER_REGISTRY.registered_names()))
    return name


def _set_evaluation(cfg: CfgNode, arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    """Make the model a part of the config; its place in the folder's name, the same for all seeds."""
    epoch = arguments.load_epoch
    model_dir = _absolute(arguments.model_dir) if arguments.model_dir else ""
    cfg.EVALUATION = CfgNode({"MODEL_DIR": model_dir, "LOAD_EPOCH": -1 if epoch is None else epoch})
    named: list[tuple[str, Any]] = []
    if model_dir:
        shown = os.path.relpath(model_dir) if Path(model_dir).is_relative_to(Path.cwd()) else model_dir
        named.append(("EVALUATION.MODEL_DIR", re.sub(r"/seed_?\d+$", "", shown)))
    return named if epoch is None else [*named, ("EVALUATION.LOAD_EPOCH", epoch)]


def _settle_resume(cfg: CfgNode) -> None:
    """Make RESUME absolute; a run's own folder is what it resumes from anyway."""
    if not cfg.RESUME:
        return
    if not Path(cfg.RESUME).is_dir():
        raise CheckpointError(f"--resume {cfg.RESUME} is not a folder; give that of a training run")
    cfg.RESUME = _absolute(cfg.RESUME)
    if _absolute(cfg.OUTPUT_DIR) == cfg.RESUME:
        cfg.RESUME = ""


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
