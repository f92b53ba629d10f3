"""The arguments of train.py: Dassl's flags, and short ones such as `--dataset` that stand for config files."""

import argparse
import re
import sys
from typing import Any

from yacs.config import CfgNode

from lamm.commands.parser import Parser
from lamm.errors import ConfigError


def train_parser() -> Parser:
    """The parser of train.py."""
    parser = Parser(
        prog="lamm train" if sys.argv[0].startswith("lamm ") else "train.py",
        description="One run: train a prompt learner on one data set with one seed, then test it.",
        epilog="example: %(prog)s --trainer LAMM --dataset digits --shots 16 --seed 1 --root data",
    )
    data = parser.add_argument_group("what to run")
    data.add_argument("--trainer", default="", help="registered name, such as LAMM or CoOp")
    data.add_argument("--dataset", default="", help="name of a file in configs/datasets, such as caltech101")
    data.add_argument("--shots", type=int, help="training images per class (DATASET.NUM_SHOTS); none: all of them")
    data.add_argument("--seed", type=int, help="0 or above; -1: unseeded (default: SEED of the config, else -1)")
    data.add_argument(
        "--root",
        default="",
        help="folder that holds the data sets (default: data); with --dataset folder, of its classes",
    )
    data.add_argument("--csv", default="", help="file of --dataset csv: CSV or JSONL of path,label[,split]")
    data.add_argument("--template", default="", help="ZeroshotCLIP's template, with {} for the class name")

    files = parser.add_argument_group("files")
    files.add_argument("--config-file", default="", help="trainer config (default: the trainer's own)")
    files.add_argument("--dataset-config-file", default="", help="data set config (default: that of --dataset)")
    files.add_argument("--output-dir", default="", help="default: output/DATASET/shots_N/TRAINER/CFG/seedS")
    files.add_argument("--resume", default="", help="folder with checkpoints to continue from")
    files.add_argument(
        "--import", dest="imports", action="append", default=[], metavar="FILE_OR_MODULE", help="load more trainers"
    )

    model = parser.add_argument_group("evaluation")
    model.add_argument("--eval-only", action="store_true", help="test a trained model, don't train")
    model.add_argument("--model-dir", default="", help="output folder of the training run, for --eval-only")
    model.add_argument("--load-epoch", type=int, help="epoch of the checkpoint (default: the best, else the last)")
    model.add_argument("--no-train", action="store_true", help="build everything, train nothing")

    other = parser.add_argument_group("Dassl's further flags")
    other.add_argument("--source-domains", nargs="+", default=[], help="source domains, for data sets that have them")
    other.add_argument("--target-domains", nargs="+", default=[], help="target domains")
    other.add_argument("--transforms", nargs="+", default=[], help="data augmentation, in place of the config's")
    other.add_argument("--backbone", default="", help="name of the CLIP model (MODEL.BACKBONE.NAME)")
    other.add_argument("--head", default="", help="name of the head, for trainers that have one")
    parser.add_argument("--verbose", action="store_true", help="show all of log.txt on the terminal too")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="config keys and values, last")
    return parser


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
        raise ConfigError(f"{flag} stands behind KEY VALUE on the command line: put flags first, KEY VALUE last")
    pairs = list(zip(words[::2], words[1::2], strict=False))
    flags = {key: f"--{argument.replace('_', '-')}" for argument, key in FLAGS.items()}
    seen = {key: flags[key] for key in flag_settings(arguments)}
    for key, _ in pairs:
        if key in seen:
            raise ConfigError(f"{key} is set twice on the command line, by {seen[key]} and by {key}: give it once")
        seen[key] = key
    return pairs


def set_key(cfg: CfgNode, key: str, value: Any) -> None:
    """Put a flag's value into the config as it is; a string stays a string."""
    *sections, name = key.split(".")
    for section in sections:
        cfg = cfg[section]
    cfg[name] = value
