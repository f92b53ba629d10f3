"""Make what the demo stands on: the embedded model `tiny`, and the learning rate of the `tiny_ep50` configs.

    lamm make-demo clip --output tiny_clip.safetensors
    lamm make-demo rate --root data

`clip` draws the model's pictures, trains it and writes the weights file: about an hour on two cores.
docs/tiny_model_card.md says what it has seen.

`rate` looks at validation images only. For each rate, CoOp and LAMM are trained on `digits` and `shapes` from cached
features of augmented training views, with the configs' schedule, and scored on the whole validation split. The rate
with the best mean over methods, data sets and shots is the one for all methods. Test images are never opened.
"""

import argparse
import os
from dataclasses import fields
from pathlib import Path

from lamm.clip.tiny_recipe import Recipe
from lamm.commands.parser import Parser, add_root_argument, at_least, chosen_device
from lamm.files import require_place
from lamm.numbers import PROCESSES, SEEDS


def main(arguments: argparse.Namespace) -> None:
    # Imported here, since both take torch, which --help does without.
    if arguments.part == "rate":
        from lamm.commands.make_demo_rate import choose_rate

        choose_rate(arguments)
        return
    from lamm.clip.tiny import FORMAT
    from lamm.clip.tiny.training import train

    recipe = Recipe(**{field.name: getattr(arguments, field.name) for field in fields(Recipe)})
    require_place(arguments.output, FORMAT)
    train(recipe, chosen_device(arguments.device), arguments.workers, arguments.output)


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(
        description="Make what the demo stands on: the embedded model, or the learning rate of its configs."
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    meaning = "choose the learning rate of the demo configs on validation images"
    rate = parts.add_parser("rate", help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
    add_root_argument(rate)
    rates = [0.003, 0.01, 0.03, 0.1, 0.3]
    rate.add_argument("--rates", type=float, nargs="+", default=rates, metavar="RATE", help="rates to compare")
    rate.add_argument(
        "--shots", type=at_least(1), nargs="+", default=[1, 16], metavar="N", help="training images per class"
    )
    rate.add_argument("--seeds", type=SEEDS, nargs="+", default=[1, 2], metavar="SEED", help="default: 1 2")
    meaning = "train the embedded CLIP model on drawings"
    clip = parts.add_parser("clip", help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
    clip.add_argument("--output", type=Path, required=True, metavar="FILE", help="the safetensors file to write")
    clip.add_argument("--device", default="", help="default: a GPU if there is one")
    clip.add_argument("--workers", type=PROCESSES, default=os.cpu_count() or 1, metavar="N", help="processes that draw")
    for field in fields(Recipe):
        flag, kind = "--" + field.name.replace("_", "-"), type(field.default)
        clip.add_argument(flag, type=kind, default=field.default, metavar="N", help="default: %(default)s")
    return parser
