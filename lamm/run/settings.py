"""Config keys set on the command line: by flags, and by KEY VALUE at the end of the line."""

import argparse
import re
from typing import Any

from yacs.config import CfgNode

from lamm.errors import ConfigError

# Argument → config key that it sets.
FLAGS = {
    "trainer": "TRAINER.NAME",
    "seed": "SEED",
    "shots": "DATASET.NUM_SHOTS",
    "root": "DATASET.ROOT",
    "csv": "DATASET.CSV",
    "output_dir": "OUTPUT_DIR",
    "resume": "RESUME",
    "template": "DATASET.TEMPLATE",
    "backbone": "MODEL.BACKBONE.NAME",
    "head": "MODEL.HEAD.NAME",
    "source_domains": "DATASET.SOURCE_DOMAINS",
    "target_domains": "DATASET.TARGET_DOMAINS",
    "transforms": "INPUT.TRANSFORMS",
}
KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+|SEED|VERBOSE|OUTPUT_DIR|RESUME")


def flag_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Config key → value, for each flag that was given.

    Raises:
        ConfigError: a flag that takes a list swallowed the KEY VALUE behind it.
    """
    given: dict[str, Any] = {}
    for argument, key in FLAGS.items():
        value = getattr(arguments, argument)
        if isinstance(value, list):
            swallowed = next((word for word in value if KEY.fullmatch(word)), None)
            if swallowed is not None:
                raise ConfigError(
                    f"--{argument.replace('_', '-')} took {swallowed} for one of its values: "
                    "put another flag between it and KEY VALUE"
                )
            value = tuple(value)
        if value not in (None, "", ()):
            given[key] = value
    return given


def option_pairs(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """KEY VALUE at the end of the line, as pairs; whether the keys exist and all have values is not looked at.

    Raises:
        ConfigError: a flag among them, or a key that is set twice.
    """
    words = list(arguments.opts)
    flag = next((word for word in words if word.startswith("--")), None)
    if flag is not None:
        raise ConfigError(f"{flag} stands behind KEY VALUE on the command line: put flags first, KEY VALUE last")
    pairs = list(zip(words[::2], words[1::2], strict=False))
    taken = {key: f"--{argument.replace('_', '-')}" for argument, key in FLAGS.items()}
    seen = {key: taken[key] for key in flag_settings(arguments)}
    for key, _ in pairs:
        if key in seen:
            raise ConfigError(f"{key} is set twice on the command line, by {seen[key]} and by {key}: give it once")
        seen[key] = key
    return pairs


def set_key(cfg: CfgNode, key: str, value: Any) -> None:
    """Put a flag's value into the config as it is; a text stays a text."""
    *sections, name = key.split(".")
    for section in sections:
        cfg = cfg[section]
    cfg[name] = value
