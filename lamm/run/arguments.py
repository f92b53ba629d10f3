"""The arguments of train.py: Dassl's flags, and short ones such as `--dataset` that stand for config files."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

from yacs.config import CfgNode

from lamm.commands.parser import Parser, add_import_argument
from lamm.errors import ConfigError
from lamm.numbers import SEEDS, Range, shown


def train_parser() -> Parser:
    """The parser of train.py."""
    parser = Parser(
        prog="lamm train" if sys.argv[0].startswith("lamm ") else "train.py",
        description="One run: train a prompt learner on one data set with one seed, then test it.",
        epilog="example: %(prog)s --trainer LAMM --dataset digits --shots 16 --seed 1 --root data",
    )
    add = parser.add_argument_group("what to run").add_argument
    add("--trainer", default="", help="registered name, such as LAMM or CoOp")
    add("--dataset", default="", help="name of a file in configs/datasets, such as caltech101")
    add(
        "--shots",
        type=Range(-1),
        metavar="N",
        help="training images per class (DATASET.NUM_SHOTS; default: all images)",
    )
    add(
        "--seed",
        type=Range(-1, SEEDS.high),
        metavar="N",
        help="0 or above; -1: unseeded (default: SEED of the config, else -1)",
    )
    root = "folder that holds the data sets (default: data); with --dataset folder, the folder of its classes"
    add("--root", default="", metavar="DIR", help=root)
    add("--csv", default="", metavar="FILE", help="CSV or JSON of path,label[,split], for --dataset csv")
    add("--template", default="", help="template of ZeroshotCLIP, KgCoOp and heads, with {} for the class name")

    files = parser.add_argument_group("files")
    add = files.add_argument
    add("--config-file", default="", metavar="FILE", help="config of the trainer (default: the trainer's own)")
    add("--dataset-config-file", default="", metavar="FILE", help="config of the data set, in place of --dataset")
    output = "folder of the run (default: output/DATASET/shots_N/TRAINER/CFG/seedS)"
    add("--output-dir", default="", metavar="DIR", help=output)
    add("--tag", default="", metavar="NAME", help=TAG_HELP)
    add("--resume", default="", metavar="DIR", help="folder with checkpoints to continue from")
    add_import_argument(files, "code of further trainers")

    add = parser.add_argument_group("evaluation").add_argument
    add("--eval-only", action="store_true", help="test a trained model, don't train")
    add("--model-dir", default="", metavar="DIR", help="output folder of the training run, for --eval-only")
    add("--load-epoch", type=Range(0), metavar="N", help="epoch of the checkpoint (default: the best, else the last)")
    add("--no-train", action="store_true", help="build everything, but don't train")

    add = parser.add_argument_group("Dassl's further flags").add_argument
    add(
        "--source-domains", nargs="+", default=[], metavar="DOMAIN", help="source domains, for data sets that have them"
    )
    add("--target-domains", nargs="+", default=[], metavar="DOMAIN", help="target domains")
    add("--transforms", nargs="+", default=[], metavar="NAME", help="data augmentation, in place of the config's")
    add("--backbone", default="", help="name of the CLIP model (MODEL.BACKBONE.NAME)")
    add("--head", default="", help="name of the head, for trainers that have one")
    parser.add_argument("--verbose", action="store_true", help="show all of log.txt on the terminal")
    parser.add_argument("--profile", action="store_true", help=PROFILE_HELP)
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config overrides; they come last")
    return parser


TAG_HELP = "a name for this run's folder, behind the config's, so that it lies beside a run of the same config"
PROFILE_HELP = "leave trace.json in the run's folder: a few training steps, for ui.perfetto.dev"

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
    settings: dict[str, Any] = {}
    for argument, key in FLAGS.items():
        value = getattr(arguments, argument)
        if isinstance(value, list):
            swallowed = next((word for word in value if KEY.fullmatch(word)), None)
            if swallowed is not None:
                raise ConfigError(
                    f"--{argument.replace('_', '-')} took {swallowed} as one of its values: "
                    "put another flag between it and KEY VALUE"
                )
            value = tuple(value)
        if value not in (None, "", ()):
            settings[key] = value
    return settings


def option_pairs(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """KEY VALUE at the end of the line, as pairs; whether the keys exist and have values is not checked here.

    Raises:
        ConfigError: a flag among them, or a key that is set twice.
    """
    words = list(arguments.opts)
    flag = next((word for word in words if word.startswith("--")), None)
    if flag is not None:
        raise ConfigError(f"{shown(flag)} stands behind KEY VALUE on the command line: put flags first, KEY VALUE last")
    pairs = list(zip(words[::2], words[1::2], strict=False))
    flags = {key: f"--{argument.replace('_', '-')}" for argument, key in FLAGS.items()}
    seen = {key: flags[key] for key in flag_settings(arguments)}
    for key, _ in pairs:
        if key in seen:
            by = f", by {shown(seen[key])} and by {shown(key)}" if seen[key] != key else ""
            raise ConfigError(f"{shown(key)} is set twice on the command line{by}: give it once")
        seen[key] = key
    return pairs


def require_no_folder(words: Sequence[str]) -> None:
    """Refuse what belongs to a single run, such as its folder or its seed.

    Args:
        words: those that every run gets, such as those behind the data set and the number of shots.

    Raises:
        ConfigError: a flag of train.py, or a key that names a folder.
    """
    flag = next((word for word in words if re.match("--|-[A-Za-z]", word)), None)
    if flag is not None:
        raise ConfigError(
            f"{flag} can't stand here: the line ends with KEY VALUE, and flags come first; every run has a folder and "
            "a seed of its own"
        )
    key = next((word for word in words if word in (FLAGS["output_dir"], FLAGS["resume"])), None)
    if key is not None:
        raise ConfigError(f"{key} can't be set here: every run has a folder of its own")


def set_key(cfg: CfgNode, key: str, value: Any) -> None:
    """Put a flag's value into the config as it is; a string stays a string."""
    *sections, name = key.split(".")
    for section in sections:
        cfg = cfg[section]
    cfg[name] = value
