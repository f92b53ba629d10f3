"""A run's output folder, read back: what was trained or tested, without the data set that it was done on."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from lamm.engine import TRAINER_REGISTRY, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.errors import ConfigError, ResultsError
from lamm.results.schema import FILE_NAME as RESULTS_FILE
from lamm.results.schema import RunResults
from lamm.run.class_file import RunClasses
from lamm.run.fingerprint import CONFIG_FILE

EVALUATION = {"MODEL_DIR": "", "LOAD_EPOCH": -1}
# Where runs are looked for below a folder that is none itself.
LEVELS = ("*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*")


@dataclass(frozen=True)
class RunFolder:
    """One run, as its folder tells it.

    Attributes:
        path: the folder.
        cfg: the run's config; not frozen. Its EVALUATION node says which model a run that only tests took.
        trainer_class: what is registered under the trainer's name.
        only_tests: whether the run was one of `--eval-only`.
        classes: names and templates; None in folders of before `classes.json`.
        results: the record; None where it is missing or can't be read.
    """

    path: Path
    cfg: CfgNode
    trainer_class: Any
    only_tests: bool
    classes: RunClasses | None
    results: RunResults | None

    @classmethod
    def open(cls, folder: str | os.PathLike[str], extensions: Sequence[Callable[[CfgNode], None]]) -> "RunFolder":
        """Read a folder.

        Args:
            folder: where `config.yaml` is.
            extensions: each adds the config keys of some trainers; in this order.

        Raises:
            ConfigError: no run's folder, a config that can't be read, or one of a trainer that is not registered.
            CheckpointError: `classes.json` is damaged.
        """
        path = Path(folder)
        stored = _stored_config(path)
        name = _trainer_name(stored, path)
        cfg = get_cfg_default()
        for extend_cfg in extensions:
            extend_cfg(cfg)
        cfg.EVALUATION = CfgNode(dict(EVALUATION))
        merge_config(cfg, [path / CONFIG_FILE], [])
        results = None
        with suppress(ResultsError):
            results = RunResults.read(path / RESULTS_FILE)
        trainer_class = TRAINER_REGISTRY.get(name)
        return cls(path, cfg, trainer_class, "EVALUATION" in stored, RunClasses.read(path), results)

    @property
    def finished(self) -> bool:
        """Whether the record says that the run came to its end."""
        return self.results is not None and self.results.finished


def _stored_config(path: Path) -> dict[str, Any]:
    """`config.yaml` as it is, before its keys are checked."""
    file = path / CONFIG_FILE
    if not path.is_dir():
        raise ConfigError(f"{path} is not a folder; give the output folder of a run, such as output/…/seed1")
    if not file.is_file():
        below: list[str] = []
        with suppress(OSError):  # of a folder that comes, goes, or is closed to us
            below = sorted(str(found.parent) for levels in LEVELS for found in path.glob(f"{levels}/{CONFIG_FILE}"))
        advice = f"give one of {', '.join(below[:3])}" if below else "give the output folder of a run"
        raise ConfigError(f"{path} holds no run: it has no {CONFIG_FILE}; {advice}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} can't be read ({type(error).__name__}): it is damaged") from error
    return content if isinstance(content, dict) else {}


def _trainer_name(stored: dict[str, Any], path: Path) -> str:
    section = stored.get("TRAINER")
    name = section.get("NAME") if isinstance(section, dict) else None
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{path / CONFIG_FILE} names no trainer: it is damaged")
    if name not in TRAINER_REGISTRY.registered_names():
        raise ConfigError(f'{path} is a run of trainer "{name}", which is not ours: give its code with --import FILE')
    return name
