"""From the arguments of train.py to everything that one run needs: names, config, folder."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.engine import TRAINER_REGISTRY, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.errors import ConfigError
from lamm.run.config_files import dataset_config, trainer_config
from lamm.suggest import unknown_name

DEMO_DATASETS = ("digits", "shapes", "shapes_sketch", "shapes_noisy", "shapes_inverted")
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Attributes:
        trainer: registered name.
        trainer_class: what is registered under it.
        dataset: name on the command line, or of the data set's config file.
        cfg_name: name of the config file with overrides, as in the output path.
        cfg: the frozen config.
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


def plan_run(arguments: argparse.Namespace, extend_cfg: Callable[[CfgNode], None]) -> RunPlan:
    """Work a run out.

    Args:
        arguments: of train.py.
        extend_cfg: adds the trainers' config keys.

    Raises:
        ConfigError: an unknown name, key or value, or arguments that don't go together.
    """
    if arguments.seed < -1 or arguments.seed > LARGEST_SEED:
        raise ConfigError(f"--seed must be 0 or above, or -1 for an unseeded run, got {arguments.seed}")
    if arguments.shots is not None and arguments.shots < 1:
        raise ConfigError(f"--shots must be 1 or above, got {arguments.shots}; leave it out to train on all images")
    cfg = get_cfg_default()
    extend_cfg(cfg)
    dataset_file = Path(arguments.dataset_config_file or dataset_config(_required(arguments.dataset, "--dataset")))
    dataset = arguments.dataset or dataset_file.stem
    trainer = _trainer_name(arguments, cfg)
    trainer_class = TRAINER_REGISTRY.get(trainer)
    config_file = Path(arguments.config_file or default_config(trainer_class, dataset))
    options = _options(arguments)
    merge_config(cfg, [str(dataset_file), str(config_file)], options)
    cfg.TRAINER.NAME = trainer
    cfg.SEED = arguments.seed
    _set_plain(cfg, arguments)
    cfg_name = config_file.stem + override_suffix(options)
    cfg.OUTPUT_DIR = arguments.output_dir or str(
        output_folder(dataset, cfg.DATASET.NUM_SHOTS, trainer, cfg_name, arguments.seed, arguments.eval_only)
    )
    cfg.freeze()
    return RunPlan(trainer, trainer_class, dataset, cfg_name, cfg)


def output_folder(dataset: str, shots: int, trainer: str, cfg_name: str, seed: int, eval_only: bool = False) -> Path:
    """`output/<dataset>/shots_<n>/<Trainer>/<cfg>/seed<k>`; `evaluation` in front for runs that only test."""
    shots_name = f"shots_{shots}" if shots >= 1 else "shots_all"
    start = Path("output", "evaluation") if eval_only else Path("output")
    return start / dataset / shots_name / trainer / cfg_name / f"seed{seed}"


def override_suffix(options: Sequence[str]) -> str:
    """`+KEY=VALUE` for each override, with the last part of the key where that is not ambiguous."""
    keys, values = options[::2], options[1::2]
    last = [key.rsplit(".", 1)[-1] for key in keys]
    names = [short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=False)]
    parts = [f"{name}={value}" for name, value in zip(names, values, strict=False)]
    return "".join("+" + re.sub(r"[^A-Za-z0-9._=-]+", "_", part) for part in parts)


def default_config(trainer_class: Any, dataset: str) -> Path:
    """The config file of a run that names none: the trainer's own, on demo data the one for the embedded model.

    Raises:
        ConfigError: the trainer has no default.
    """
    attribute = "tiny_config" if dataset in DEMO_DATASETS else "default_config"
    name = getattr(trainer_class, attribute, "")
    if not name:
        raise ConfigError(f"trainer {trainer_class.__name__} has no default config: give --config-file")
    return trainer_config(trainer_class.__name__, name)


def _required(value: str, flag: str) -> str:
    if not value:
        raise ConfigError(f"{flag} is missing; see train.py --help")
    return value


def _trainer_name(arguments: argparse.Namespace, cfg: CfgNode) -> str:
    """The trainer asked for; the config file may name it where the flag doesn't."""
    name = arguments.trainer
    if not name and arguments.config_file:
        probe = cfg.clone()
        merge_config(probe, [arguments.config_file], [])
        name = probe.TRAINER.NAME
    _required(name, "--trainer")
    if name not in TRAINER_REGISTRY.registered_names():
        raise ConfigError(unknown_name("trainer", name, TRAINER_REGISTRY.registered_names()))
    return str(name)


def _options(arguments: argparse.Namespace) -> list[str]:
    """The overrides: KEY VALUE at the end of the line, after the flags that stand for keys."""
    options: list[str] = []
    if arguments.backbone:
        options += ["MODEL.BACKBONE.NAME", arguments.backbone]
    if arguments.head:
        options += ["MODEL.HEAD.NAME", arguments.head]
    if arguments.template:
        options += ["DATASET.TEMPLATE", arguments.template]
    return options + list(arguments.opts)


def _set_plain(cfg: CfgNode, arguments: argparse.Namespace) -> None:
    """The flags that Dassl copies into the config as they are."""
    cfg.DATASET.ROOT = str(Path(arguments.root or cfg.DATASET.ROOT or "data").expanduser().absolute())
    if arguments.shots is not None:
        cfg.DATASET.NUM_SHOTS = arguments.shots
    if arguments.resume:
        cfg.RESUME = arguments.resume
    if arguments.source_domains:
        cfg.DATASET.SOURCE_DOMAINS = tuple(arguments.source_domains)
    if arguments.target_domains:
        cfg.DATASET.TARGET_DOMAINS = tuple(arguments.target_domains)
    if arguments.transforms:
        cfg.INPUT.TRANSFORMS = tuple(arguments.transforms)
