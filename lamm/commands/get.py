"""Fetch the weights of backbones to where every command looks for them; offline, say what to carry over.

    lamm get ViT-B/16
    lamm get RN50 open_clip:ViT-B-16/laion2b_s34b_b88k

A download that broke off is resumed, and what comes is compared with the SHA-256 where it is known. Exit code 0: the
weights are there. 1: some could not be fetched; what to carry over is listed. 2: an unknown backbone.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from lamm.commands.parser import Parser
from lamm.escaping import printable

if TYPE_CHECKING:
    from lamm.clip.sources import Source

NOT_FETCHED = 1


def main(arguments: argparse.Namespace) -> int:
    from lamm.clip.sources import DownloadError, source_of

    sources = {name: source_of(name) for name in arguments.names}  # an unknown name before anything is fetched
    failures = []
    for name, source in sources.items():
        if source is None:
            print(f"{name} comes with this package: there is nothing to fetch")
            continue
        try:
            file = source.find()
            print(f"{name}: {source.checked(file) if file else source.fetch()}", flush=True)
        except DownloadError as error:
            print(f"{name}:\n{to_carry_over(name, source)}", flush=True)
            failures.append(f"not fetched: {name}: {error}")
    for failure in failures:
        print(printable(failure), file=sys.stderr)
    return NOT_FETCHED if failures else 0


def to_carry_over(name: str, source: "Source") -> str:
    """What a person fetches on another machine, and where it goes on this one."""
    lines = [f"page      {source.page}"]
    if source.url:
        lines += [f"file      {source.place.name}"]
        lines += [f"SHA-256   {source.sha256}{' …' * (0 < len(source.sha256) < 64)}"] if source.sha256 else []
        lines += [f"place     {source.place}, or anywhere with MODEL.BACKBONE.PATH FILE"]
    else:
        lines += [f"fetch     lamm get {name}, on a machine with a network"]
        lines += [f"place     copy the folder {source.place} from there to the same place here,"]
        lines += ["          or any weights file of the page to anywhere, with MODEL.BACKBONE.PATH FILE"]
    return "\n".join(f"  {printable(line)}" for line in lines)


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(
        description="Fetch the weights of backbones to where every command looks for them.",
        epilog="exit code 0: the weights are there; 1: some could not be fetched; 2: an unknown backbone",
    )
    parser.add_argument("names", nargs="+", metavar="BACKBONE", help="see lamm backbones")
    return parser
