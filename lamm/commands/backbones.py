"""List the backbones: parameters, input size, licence of the weights, and whether these are on this machine.

    lamm backbones
    lamm backbones --all                      # every open_clip:ARCH/TAG too; slower: each is built to count it
    lamm backbones open_clip:ViT-L-14/laion2b_s32b_b82k --json

No request is made. `unknown` is a licence that no installed package tells: read the page of the weights.
"""

import argparse
import json
import sys

from tqdm import tqdm

from lamm.commands.parser import Parser

HEADINGS = ("backbone", "parameters", "input", "licence", "weights on this machine")


def main(arguments: argparse.Namespace) -> None:
    from lamm.clip.catalogue import backbone, backbone_names
    from lamm.clip.sources import PREFIX

    names = arguments.names or backbone_names(arguments.all)
    found = [backbone(name) for name in tqdm(names, disable=None if arguments.all else True)]
    if arguments.json:
        rows = [
            {
                "name": one.name,
                "parameters": one.parameters,
                "image_size": one.image_size,
                "licence": one.licence,
                "file": None if one.file is None else str(one.file),
                "page": None if one.source is None else one.source.page,
                "sha256": one.source.sha256 if one.source else "",
            }
            for one in found
        ]
        print(json.dumps(rows, indent=2))
        return
    lines = [
        (one.name, f"{one.parameters:,}", str(one.image_size), one.licence, str(one.file or "no")) for one in found
    ]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *lines, strict=True)]
    for name, parameters, size, *rest in (HEADINGS, *lines):
        cells = [name.ljust(widths[0]), parameters.rjust(widths[1]), size.rjust(widths[2]), rest[0].ljust(widths[3])]
        print("  ".join([*cells, rest[1]]))
    if not (arguments.names or arguments.all):
        print(f"\n{PREFIX}ARCH/TAG is any of open_clip's models with a causal CLIP text tower: --all lists them.")
    if any(one.file is None for one in found):
        print("\nlamm get BACKBONE fetches weights, or says what to carry over from another machine.", file=sys.stderr)


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(description="List the backbones, their licences, and which weights are on this machine.")
    parser.add_argument("names", nargs="*", metavar="BACKBONE", help="only these (default: OpenAI's and tiny)")
    parser.add_argument("--all", action="store_true", help="every open_clip:ARCH/TAG too")
    parser.add_argument("--json", action="store_true", help="as JSON, with page and SHA-256")
    return parser
