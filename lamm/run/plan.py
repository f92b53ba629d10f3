"""From the arguments of train.py to the plan of one run: names, config, folder."""

import argparse
import copy
import hashlib
import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

import lamm
from lamm.datasets import DATASETS, DEMO, OWN
from lamm.engine import TRAINER_REGISTRY, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.errors import CheckpointError, ConfigError, unknown_name
from lamm.incremental.plan import check_incremental, follow_released_steps, name_with_step, step_of
from lamm.numbers import shown
from lamm.results.schema import EVALUATION, FEW_SHOT, INCREMENTAL
from lamm.run.arguments import flag_settings, option_pairs, set_key
from lamm.run.effect import told_without_effect
from lamm.run.fingerprint import flat, output_folder, override_suffix
from lamm.run.values import check_values

BACKBONE_KEY = "MODEL.BACKBONE.NAME"


def config_root() -> Path:
    """The folder `configs/` of the checkout that is the working directory, or that this code is in; else the package's.

    Raises:
        ConfigError: there is none.
    """
    for folder in (Path.cwd(), Path(lamm.__file__).parents[1]):
        if all((folder / part).is_dir() for part in ("lamm", "trainers", "configs/trainers")):
            return folder / "configs"
    package = importlib.util.find_spec("lamm_configs")
    if package is None or package.origin is None:
        raise ConfigError("the package lamm_configs is missing: install again, or run this from a checkout")
    return Path(package.origin).parent


def trainer_configs(trainer: str) -> list[str]:
    """Names (without `.yaml`) of a trainer's config files."""
    return sorted(file.stem for file in (config_root() / "trainers" / trainer).glob("*.yaml"))


def trainer_config(trainer: str, name: str) -> Path:
    """The file of one of a trainer's configs.

    Raises:
        ConfigError: the trainer has no config of that name, or none at all.
    """
    if not trainer_configs(trainer):
        raise ConfigError(f"{trainer} has no config files in configs/trainers/{trainer}: give --config-file")
    if name not in trainer_configs(trainer):
        raise ConfigError(unknown_name(f"config of {trainer}", name, trainer_configs(trainer)))
    return config_root() / "trainers" / trainer / f"{name}.yaml"


def dataset_config(dataset: str) -> Path:
    """The config file of a data set.

    Raises:
        ConfigError: there is no data set of that name.
    """
    known = [file.stem for file in (config_root() / "datasets").glob("*.yaml")]
    if dataset not in known:
        raise ConfigError(unknown_name("data set", dataset, known))
    return config_root() / "datasets" / f"{dataset}.yaml"


def settle_own_data(cfg: CfgNode) -> str:
    """The name of the images' place, `folder-<name>-<hash8>` or `csv-<name>-<hash8>`; "" for other data sets.

    The name is the last part of the place's absolute path, without characters that a folder's name can't hold; the hash
    is that of the path. Makes DATASET.CSV absolute.

    Raises:
        ConfigError: DATASET.CSV for a data set that takes no file.
    """
    own = next((name for name in OWN if DATASETS[name] == cfg.DATASET.NAME), "")
    file = getattr(cfg.DATASET, "CSV", "")
    if file and own != "csv":
        raise ConfigError(f"--csv (DATASET.CSV) is for data set csv, not for {cfg.DATASET.NAME}: leave it out")
    if file:
        cfg.DATASET.CSV = _absolute(file)
    if not own:
        return ""
    place = Path(cfg.DATASET.CSV if file else cfg.DATASET.ROOT)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", place.stem if place.is_file() else place.name)
    return f"{own}-{name or 'data'}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Attributes:
        trainer: registered name.
        trainer_class: what is registered under it; of ours before it is imported, what stands for it (`Later`).
        dataset: name on the command line, or of the data set's config file; for someone's own images that of the place
            they are in.
        cfg_name: name of the config file with overrides, as in the output path; of a step of class-incremental
            learning with `/step<t>` behind it.
        cfg: the frozen config; of a run that only tests, `EVALUATION` says which model.
        note: one line about settings without effect; may be empty.
    """

    trainer: str
    trainer_class: Any
    dataset: str
    cfg_name: str
    cfg: CfgNode
    note: str = ""

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

    def with_seed(self, seed: int) -> "RunPlan":
        """The plan of the same run with another seed, in its usual folder."""
        parts, place = list(self.output_dir.parts), -2 if step_of(self.cfg) else -1
        if parts[place:][:1] == [f"seed{self.cfg.SEED}"]:  # not a folder that a config file names
            parts[place] = f"seed{seed}"
        return replace(self, cfg=changed_config(self.cfg, SEED=seed, OUTPUT_DIR=str(Path(*parts))))


def changed_config(cfg: CfgNode, **values: Any) -> CfgNode:
    """A config with other values for some of its own keys, as frozen as it was.

    Its sections are those of `cfg`: they must not be changed.
    """
    changed = copy.copy(cfg)
    changed.update(values)
    return changed


def plan_run(arguments: argparse.Namespace, extend_cfg: Callable[[CfgNode], None]) -> RunPlan:
    """Plan a run.

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
    usual_folder, defaults = cfg.OUTPUT_DIR, flat(cfg)
    dataset_file = Path(arguments.dataset_config_file or dataset_config(arguments.dataset))
    trainer = _trainer_name(arguments, {**flags, **dict(pairs)}, cfg)
    trainer_class = TRAINER_REGISTRY.outline(trainer)
    own = {} if arguments.config_file else _settings_of_file(arguments.model_dir)
    demo = own.get(BACKBONE_KEY) == repr("tiny") if own else dataset_file.stem in DEMO
    config_file = Path(arguments.config_file or default_config(trainer, trainer_class, demo))
    merge_config(cfg, [dataset_file, config_file], [word for pair in own.items() for word in pair])
    for key, value in flags.items():
        set_key(cfg, key, value)
    merge_config(cfg, [], arguments.opts)
    check_values(cfg, getattr(trainer_class, "config_nodes", ()))
    changed = [key for key, value in flat(cfg).items() if defaults.get(key) != value]
    note = told_without_effect(cfg, changed, {**flags, **dict(pairs)}, trainer_class)
    check_incremental(cfg, trainer, trainer_class, arguments.eval_only)
    if config_file.stem.endswith("_released") and "TRAINER.LAMM.LAMBDA_WC" not in dict(pairs):
        follow_released_steps(cfg)
    cfg.TRAINER.NAME = trainer
    cfg.DATASET.ROOT = _absolute(cfg.DATASET.ROOT or "data")
    dataset = settle_own_data(cfg) or dataset_file.stem
    named = [*flags.items(), *pairs]
    if arguments.eval_only:
        named += _set_evaluation(cfg, arguments)
    if arguments.tag:
        named.append(("TAG", arguments.tag))
    cfg_name = config_file.stem + override_suffix(named, cfg)
    if usual_folder == cfg.OUTPUT_DIR:
        shots = cfg.DATASET.NUM_SHOTS
        step = step_of(cfg)
        cfg.OUTPUT_DIR = str(output_folder(dataset, shots, trainer, cfg_name, cfg.SEED, arguments.eval_only, step))
    _settle_resume(cfg)
    cfg.freeze()
    return RunPlan(trainer, trainer_class, dataset, name_with_step(cfg_name, cfg), cfg, note)


def _settings_of_file(model_dir: str) -> dict[str, str]:
    """How the classifier in a file sees images and classes, as config keys; empty for a run's folder, or none.

    Raises:
        CheckpointError: it is damaged, or not such a file.
    """
    if not os.path.isfile(model_dir):
        return {}
    from lamm.estimator.file import load_knowledge  # takes torch, which a plan does without

    settings = load_knowledge(model_dir).settings
    own = {key: value for key, value in settings.items() if key.startswith((BACKBONE_KEY, "INPUT.", "TRAINER."))}
    own.pop("TRAINER.NAME", None)
    return own


def default_config(trainer: str, trainer_class: Any, demo: bool) -> Path:
    """The config file of a run that names none: the trainer's own, on demo data the one for the embedded model.

    Raises:
        ConfigError: the trainer has no default.
    """
    name = getattr(trainer_class, "tiny_config" if demo else "default_config", "")
    if not name:
        raise ConfigError(f"trainer {trainer} has no default config: give --config-file")
    return trainer_config(trainer, name)


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse flags that don't go together: one of them would silently have no effect."""
    if arguments.shots is not None and arguments.shots < 1:
        raise ConfigError(f"--shots must be 1 or above, got {arguments.shots}; leave it out to train on all images")
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,40}", arguments.tag):
        raise ConfigError(f"--tag must be at most 40 letters, digits and . _ -, got {shown(arguments.tag)}")
    if arguments.tag and arguments.output_dir:
        raise ConfigError("--tag names a run's usual folder, and --output-dir gives it another: leave one of them out")
    if arguments.dataset and arguments.dataset_config_file:
        raise ConfigError("--dataset and --dataset-config-file both name the data set: give one of them")
    if not (arguments.dataset or arguments.dataset_config_file):
        raise ConfigError("--dataset is missing; see --help")
    if not arguments.eval_only and (arguments.model_dir or arguments.load_epoch is not None):
        raise ConfigError("--model-dir and --load-epoch are for --eval-only; --resume continues a training")
    if arguments.eval_only and (arguments.no_train or arguments.resume):
        raise ConfigError("--eval-only trains nothing: leave --no-train and --resume out")
    if arguments.model_dir and not os.path.exists(arguments.model_dir):
        raise CheckpointError(
            f"--model-dir {arguments.model_dir} is not there; give the folder of a training run, or a classifier file"
        )


def _trainer_name(arguments: argparse.Namespace, settings: dict[str, Any], cfg: CfgNode) -> str:
    """The trainer asked for; the config file may name it where the command line doesn't."""
    name = str(settings.get("TRAINER.NAME", ""))
    if not name and arguments.config_file:
        probe = cfg.clone()
        merge_config(probe, [arguments.config_file], [])
        name = probe.TRAINER.NAME
    if not name:
        raise ConfigError("--trainer is missing; see --help")
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
        place = os.path.relpath(model_dir) if Path(model_dir).is_relative_to(Path.cwd()) else model_dir
        named.append(("EVALUATION.MODEL_DIR", re.sub(r"/seed_?\d+$", "", place)))
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
    """The absolute path; ConfigError for one that no file of settings can hold."""
    if re.search("[\ud800-\udfff]", path):  # bytes that are not UTF-8, as Python reads them
        raise ConfigError(f"the path {path!a} is not UTF-8 text: rename it")
    return os.path.abspath(os.path.expanduser(path))
