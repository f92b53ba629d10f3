"""Which run this is: the hash of config and split, the stored config, and the folder that a run lies in."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from lamm.errors import ConfigError
from lamm.files import write_text
from lamm.reading import read_yaml
from lamm.run.arguments import FLAGS

CONFIG_FILE = "config.yaml"
# Where a run lies, what it prints, and what its labels do for classes that it has not, don't change what it computes.
IGNORED = (
    "OUTPUT_DIR",
    "VERBOSE",
    "DATALOADER.NUM_WORKERS",
    "TRAIN.PRINT_FREQ",
    "TRAIN.CHECKPOINT_FREQ",
    "INPUT.CACHE_DIR",
    "INPUT.CACHE_GB",
    "TRAINER.LAMM.UNSEEN_LABELS",
)
# Keys that stored runs may lack, since they were added later → the value that means the same as their absence.
ADDED = {
    "DATASET.CSV": "",
    "DATASET.ORIGINAL_PICKS": False,
    "INPUT.EXIF": "auto",
    "INPUT.DECODING": "exact",
    "INPUT.CACHE_VIEWS": 0,
    "INCREMENTAL.STEPS": 0,
    "INCREMENTAL.STEP": 0,
    "INCREMENTAL.SEEN_AS_NEGATIVES": False,
    "INCREMENTAL.ORDER_SEED": -1,
    "INCREMENTAL.FIRST": 0,
    "TRAINER.CLIPLORA.STEPS_PER_SHOT": 500,  # which no epochs but 0 lead to
}
# Nodes below TRAINER that Dassl's own trainers have.
DASSL_NODES = (
    *("MCD", "MME", "CDAC", "SE", "M3SDA", "DAEL", "CROSSGRAD", "DDAIG", "DAELDG", "DOMAINMIX"),
    *("ENTMIN", "MEANTEACHER", "MIXMATCH", "FIXMATCH"),
)
# Keys that a folder's name leaves out: the rest of the path, or the config stored in the folder, tells them.
TOLD_ELSEWHERE = {FLAGS[name] for name in ("trainer", "seed", "shots", "root", "csv", "output_dir", "resume")} | {
    "INPUT.CACHE_DIR",
    "INPUT.CACHE_GB",
    "INCREMENTAL.STEP",
}
LONGEST = 120
"""Characters of a folder's name that tell overrides; longer ones end in a hash."""


def config_hash(cfg: CfgNode, split_hash: str) -> str:
    """Fingerprint of what a run's trainer reads (data root included) and of the split, 16 hexadecimal digits."""
    return _hash_of(_read_keys(flat(_plain(cfg)), cfg), split_hash)


def is_hash_of(recorded: str, cfg: CfgNode, split_hash: str, folder: Path) -> bool:
    """Whether the fingerprint recorded in a run's folder is that of `cfg`, which is known to differ in no key.

    Earlier versions hashed the whole config that lies in the folder, nodes of other trainers included.
    """
    if recorded == config_hash(cfg, split_hash):
        return True
    stored = _stored_keys(folder)
    return stored is not None and recorded == _hash_of(stored, split_hash)


def _hash_of(level: Mapping[str, Any], split_hash: str) -> str:
    relevant = {key: value for key, value in level.items() if key not in IGNORED and not _as_absent(key, value)}
    text = json.dumps([relevant, split_hash], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_keys(level: Mapping[str, Any], cfg: CfgNode) -> dict[str, Any]:
    """The keys of a config without those of trainers that do not run.

    A trainer of ours names the nodes it reads. Any other may read any node but those that Dassl has for its own
    trainers, which come and go with it.
    """
    from lamm.engine import TRAINER_REGISTRY  # here, since commands that only read results do without torch

    name = cfg.TRAINER.NAME
    trainer = TRAINER_REGISTRY.outline(name) if name in TRAINER_REGISTRY.registered_names() else object
    nodes = vars(trainer).get("config_nodes")
    others = () if trainer.__module__.startswith("dassl.") else DASSL_NODES

    def is_read(key: str) -> bool:
        section, node, *rest = f"{key}..".split(".")
        if section != "TRAINER" or not rest[0]:
            return True
        return node not in others if nodes is None else node in nodes

    return {key: value for key, value in level.items() if is_read(key)}


def differing_keys(cfg: CfgNode, folder: Path) -> list[str]:
    """`KEY: stored → now` for each key in which the config stored in a run's folder differs from `cfg`.

    Raises:
        ConfigError: the stored config is damaged.
    """
    stored = _stored_keys(folder)
    if stored is None:
        return []
    stored, now = (_read_keys(level, cfg) for level in (stored, flat(_plain(cfg))))
    keys = [key for key in sorted(stored.keys() | now.keys()) if key not in IGNORED]
    keys = [key for key in keys if key in stored or not _as_absent(key, now[key])]
    pairs = {key: (stored.get(key, "(absent)"), now.get(key, "(absent)")) for key in keys}
    # Compared as JSON, in which a list and a tuple are the same.
    differ = [key for key, pair in pairs.items() if len({json.dumps(value, default=str) for value in pair}) > 1]
    return [f"{key}: {pairs[key][0]} → {pairs[key][1]}" for key in differ]


def _stored_keys(folder: Path) -> dict[str, Any] | None:
    """The config in a run's folder as one level of keys; None: there is none."""
    file = folder / CONFIG_FILE
    try:
        return flat(read_yaml(file) or {})
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise ConfigError(f"{file} can't be read ({type(error).__name__}): remove {folder} or use another") from error


def store_config(cfg: CfgNode, folder: Path) -> None:
    """Write `config.yaml`."""
    write_text(folder / CONFIG_FILE, yaml.safe_dump(_plain(cfg), sort_keys=True, allow_unicode=True))


def output_folder(
    dataset: str, shots: int, trainer: str, cfg_name: str, seed: int, eval_only: bool = False, step: int = 0
) -> Path:
    """The folder of a run; `evaluation` in front for runs that only test, `incremental` for steps, which end it."""
    shots_name = f"shots_{shots}" if shots >= 1 else "shots_all"
    start = Path("output", "evaluation") if eval_only else Path("output", "incremental") if step else Path("output")
    folder = start / dataset / shots_name / trainer / cfg_name / f"seed{seed}"
    return folder / step_folder(step) if step else folder


def step_folder(step: int) -> str:
    """Name of the folder of a step of class-incremental learning, below its seed."""
    return f"step{step}"


def override_suffix(pairs: Iterable[tuple[str, Any]], cfg: CfgNode) -> str:
    """`+KEY=VALUE` for each override, each KEY as short as it can be without meaning another key of `cfg`.

    What a folder's name can't hold becomes `_`, and a hash of the whole keeps different overrides apart.
    """
    known = list(flat(cfg))
    parts = [
        (_shortest(key, known), ",".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for key, value in pairs
        if key not in TOLD_ELSEWHERE
    ]
    exact = "".join(f"+{name}={value}" for name, value in parts)
    plain = "".join(f"+{name}=" + re.sub(r"[^A-Za-z0-9._=-]+", "_", value) for name, value in parts)
    if plain == exact and len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:6]}"


def _as_absent(key: str, value: Any) -> bool:
    return key in ADDED and bool(value == ADDED[key])


def _plain(node: Any) -> Any:
    """Nested dicts and lists of a config, as YAML holds them."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, tuple | list):
        return [_plain(value) for value in node]
    return node


def flat(node: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    """A config with nodes as one level of dotted keys."""
    level: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{start}{key}"
        level.update(flat(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return level


def _shortest(key: str, known: list[str]) -> str:
    parts = key.split(".")
    for count in range(1, len(parts)):
        ending = ".".join(parts[-count:])
        if sum(other == ending or other.endswith(f".{ending}") for other in known) <= 1:
            return ending
    return key
