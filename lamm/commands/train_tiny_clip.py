"""Train the embedded model `tiny` anew: draw its pictures, train, write the weights file.

    python tools/train_tiny_clip.py --output tiny_clip.safetensors

About an hour on two cores. docs/tiny_model_card.md says what it has seen.
"""

import argparse
import os
from dataclasses import fields
from pathlib import Path

import torch

from lamm.clip.tiny.training import Recipe, train
from lamm.commands.parser import Parser


def main(arguments: argparse.Namespace) -> None:
    recipe = Recipe(**{field.name: getattr(arguments, field.name) for field in fields(Recipe)})
    train(recipe, torch.device(arguments.device), arguments.workers, arguments.output)


def parser() -> Parser:
    made = Parser(description="train the embedded CLIP model from drawings")
    made.add_argument("--output", type=Path, required=True, help="the safetensors file to write")
    made.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: a GPU if there"
    )
    made.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    for field in fields(Recipe):
        flag = "--" + field.name.replace("_", "-")
        made.add_argument(flag, type=type(field.default), default=field.default, help=f"default {field.default}")
    return made
