"""Whether two runs are the same run: the hash of config and split, and the keys in which two configs differ."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from lamm.errors import ConfigError
from lamm.files import write_text

CONFIG_FILE = "config.yaml"
# Where a run lies, and what it prints, don't change what it computes.
IGNORED = (
    "OUTPUT_DIR",
    "VERBOSE",
    "DATALOADER.NUM_WORKERS",
    "TRAIN.PRINT_FREQ",
    "TRAIN.CHECKPOINT_FREQ",
    "INPUT.CACHE_DIR",
    "INPUT.CACHE_GB",
)
# Keys that came after runs had been stored without them → the value that says the same as their absence.
ADDED = {
    "DATASET.CSV": "",
    "DATASET.ORIGINAL_PICKS": False,
    "INPUT.DECODING": "exact",
    "INPUT.CACHE_VIEWS": 0,
    "INCREMENTAL.STEPS": 0,
    "INCREMENTAL.STEP": 0,
    "INCREMENTAL.SEEN_AS_NEGATIVES": False,
}


def config_hash(cfg: CfgNode, split_hash: str) -> str:
    """Fingerprint of a config (data root included) and the data set's split, 16 hexadecimal digits."""
    flat = {
        key: value for key, value in _flat(_plain(cfg)).items() if key not in IGNORED and not _as_absent(key, value)
    }
    text = json.dumps([flat, split_hash], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differing_keys(cfg: CfgNode, folder: Path) -> list[str]:
    """`KEY: stored → now` for each key in which the config stored in a run's folder differs from `cfg`.

    Raises:
        ConfigError: the stored config is damaged.
    """
    file = folder / CONFIG_FILE
    try:
        stored = _flat(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise ConfigError(f"{file} can't be read ({type(error).__name__}): remove {folder} or use another") from error
    now = _flat(_plain(cfg))
    keys = [key for key in sorted(stored.keys() | now.keys()) if key not in IGNORED]
    keys = [key for key in keys if key in stored or not _as_absent(key, now[key])]
    absent = "(absent)"
    return [
        f"{key}: {stored.get(key, absent)} → {now.get(key, absent)}"
        for key in keys
        if _text(stored.get(key, absent)) != _text(now.get(key, absent))
    ]


def store_config(cfg: CfgNode, folder: Path) -> None:
    """Write `config.yaml`."""
    write_text(folder / CONFIG_FILE, yaml.safe_dump(_plain(cfg), sort_keys=True, allow_unicode=True))


def _as_absent(key: str, value: Any) -> bool:
    return key in ADDED and bool(value == ADDED[key])


def _plain(node: Any) -> Any:
    """Nested dicts and lists of a config, as YAML holds them."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, tuple | list):
        return [_plain(value) for value in node]
    return node


def _flat(node: dict[str, Any], start: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{start}{key}"
        flat.update(_flat(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat


def _text(value: Any) -> str:
    return json.dumps(value, default=str)
