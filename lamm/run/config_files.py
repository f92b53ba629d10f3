"""Finding config files by short name: `configs/trainers/<Trainer>/<cfg>.yaml`, `configs/datasets/<dataset>.yaml`."""

from pathlib import Path

import lamm
from lamm.errors import ConfigError
from lamm.suggest import unknown_name


def config_root() -> Path:
    """The folder `configs/` of the checkout: beside the package, else in the working directory.

    Raises:
        ConfigError: there is none.
    """
    for parent in (Path(lamm.__file__).parents[1], Path.cwd()):
        if (parent / "configs" / "trainers").is_dir():
            return parent / "configs"
    raise ConfigError("no folder configs/trainers here: run this from a checkout, or give --config-file")


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
