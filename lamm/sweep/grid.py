"""A grid: trainers × data sets × shots × seeds × variants, from a YAML file, from flags, or both."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from lamm.errors import ConfigError, unknown_name
from lamm.numbers import SEEDS, Range, shown
from lamm.reading import read_yaml
from lamm.run.plan import config_root

LISTS = ("trainers", "datasets", "shots", "seeds")
Settings = dict[str, str]


@dataclass(frozen=True)
class Grid:
    """What to run: every combination of the lists.

    Attributes:
        trainers: registered names, each with its default config, or `<Trainer>/<cfg>` for another one of its configs.
        datasets: names of files in configs/datasets/.
        shots: training images per class.
        seeds: one run each.
        variants: name → config overrides (KEY → VALUE as on a command line); each variant runs the whole grid, one
            without overrides is the grid itself.
        overrides: config overrides of every run; where a variant sets the same key, the variant's value counts.
        last: overrides that count above all, those of the command line.
    """

    trainers: tuple[str, ...]
    datasets: tuple[str, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    variants: dict[str, Settings] = field(default_factory=lambda: {"": {}})
    overrides: Settings = field(default_factory=dict)
    last: Settings = field(default_factory=dict)

    def with_lists(self, **lists: list[Any] | None) -> "Grid":
        """The grid with other lists in place of its own; None leaves one as it is."""
        changes: dict[str, Any] = {name: tuple(values) for name, values in lists.items() if values is not None}
        return replace(self, **changes)

    def with_variants(self, names: list[str]) -> "Grid":
        """The grid with some of its variants.

        Raises:
            ConfigError: it has no variant of a name.
        """
        unknown = next((name for name in names if name not in self.variants), None)
        if unknown is not None:
            raise ConfigError(unknown_name("variant", unknown, [name for name in self.variants if name]))
        return replace(self, variants={name: self.variants[name] for name in names})

    def points(self) -> Iterator[tuple[str, str, str, int, int]]:
        """Every combination of variant, data set, trainer, shots and seed, a variant after the other."""
        return itertools.product(self.variants, self.datasets, self.trainers, self.shots, self.seeds)

    def settings_of(self, variant: str) -> Settings:
        """The overrides of a variant's runs."""
        return {**self.overrides, **self.variants[variant], **self.last}


def read_grid(file: str | Path) -> Grid:
    """Read a grid file: a mapping of `trainers`, `datasets`, `shots`, `seeds` and, if wanted, `variants`, `overrides`.

    Raises:
        ConfigError: the file is missing or not YAML, lacks a list, or holds something else.
    """
    path = Path(file)
    try:
        content = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"can't read the grid file {path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"grid file {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"grid file {path} must hold {', '.join(LISTS)}, each with a list")
    known = (*LISTS, "variants", "overrides")
    for name in content:
        if name not in known:
            raise ConfigError(f"grid file {path}: {unknown_name('entry', str(name), known)}")
    trainers, datasets = (_list_of(content, name, path, _is_name, "names") for name in ("trainers", "datasets"))
    shots = _list_of(content, "shots", path, Range(1).__contains__, "whole numbers from 1 up")
    seeds = _list_of(content, "seeds", path, SEEDS.__contains__, "whole numbers from 0 up")
    variants = content.get("variants")
    if variants is not None and not (isinstance(variants, Mapping) and variants and all(map(_is_name, variants))):
        raise ConfigError(f"{path}: variants must be named mappings of KEY: VALUE, such as plain: {{}}")
    variants = {
        name: _settings(settings, f"{path}: variant {name}") for name, settings in (variants or {"": {}}).items()
    }
    overrides = _settings(content.get("overrides"), f"{path}: overrides")
    return Grid(trainers, datasets, shots, seeds, variants, overrides)


def grid_file(name: str) -> Path:
    """A grid file by its path, or by its name in configs/sweeps.

    Raises:
        ConfigError: there is no grid of that name.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    known = {file.stem: file for file in (config_root() / "sweeps").glob("*.yaml")}
    if name not in known:
        raise ConfigError(f"{unknown_name('grid', name, known)}; or give the path of a .yaml file")
    return known[name]


def override_pairs(words: list[str]) -> Settings:
    """KEY VALUE KEY VALUE … of a command line.

    Raises:
        ConfigError: a key without a value, or one that is set twice.
    """
    if len(words) % 2:
        raise ConfigError(f"KEY VALUE come in pairs, got {len(words)} words behind --: {' '.join(words)}")
    settings: Settings = {}
    for key, value in zip(words[::2], words[1::2], strict=True):
        if key in settings:
            raise ConfigError(f"{key} is set twice behind --: give it once")
        settings[key] = value
    return settings


def _settings(value: Any, where: str) -> Settings:
    """A mapping of config keys to values, values as a command line has them."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(map(_is_name, value)):
        raise ConfigError(f"{where} must be a mapping of KEY: VALUE, such as OPTIM.MAX_EPOCH: 1")
    nested = next((key for key, content in value.items() if isinstance(content, Mapping)), None)
    if nested is not None:
        raise ConfigError(f"{where}: {nested} holds a mapping; write the whole key, such as OPTIM.MAX_EPOCH: 1")
    return {key: str(content) for key, content in value.items()}


def _list_of(
    content: Mapping[str, Any], name: str, path: Path, check: Callable[[Any], bool], meaning: str
) -> tuple[Any, ...]:
    values = content.get(name)
    if not isinstance(values, list) or not values or not all(map(check, values)):
        raise ConfigError(f"grid file {path}: {name} must be a list of {meaning}, got {shown(values)}")
    return tuple(values)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
