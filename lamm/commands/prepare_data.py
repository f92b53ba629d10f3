"""Lay a benchmark data set out as this project (and CoOp) wants it, from its original archives, or download them.

    lamm prepare-data caltech101                                 # what is there, what is missing, from where
    lamm prepare-data caltech101 --root data --from ~/Downloads  # archives by name, or by what they hold
    lamm prepare-data eurosat --download

What is there is never overwritten or removed; missing files of a folder that is there are added to it. Exit code 0:
the data set can be used. 1: something is still missing (it says what, and where to get it). 2: an archive is damaged,
dangerous or of something else, or what is there differs from it.
"""

import argparse
import os
import sys
from pathlib import Path

from lamm.commands.parser import Parser, add_root_argument
from lamm.datasets import BENCHMARK, DATASETS, DEMO, sources
from lamm.errors import ConfigError, unknown_name
from lamm.preparing.prepare import Preparation
from lamm.preparing.survey import lines_to_get, state_lines


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(
        description="Lay a benchmark data set out from its original archives, or download them.",
        epilog="exit code 0: the data set can be used; 1: something is missing; 2: a mistake, or a bad archive",
    )
    parser.add_argument("dataset", metavar="DATASET", help=f"one of {', '.join(BENCHMARK)}")
    add_root_argument(parser)
    parser.add_argument(
        "--from", dest="given", nargs="+", type=Path, default=[], metavar="ARCHIVE", help="archives, or folders of them"
    )
    parser.add_argument("--download", action="store_true", help="fetch what is missing; continue broken downloads")
    parser.add_argument(
        "--any-md5", action="store_true", help="take archives that someone packed anew, so that their MD5 sum differs"
    )
    parser.add_argument(
        "--unverified",
        action="store_true",
        help="with --download: fetch over http even what has no known check sum; anyone on the way could replace it",
    )
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Lay out, then say what is there and what is missing."""
    name, root = arguments.dataset, Path(os.path.expanduser(arguments.root))
    if name in DEMO:
        print(f"{name} makes itself when it is first used: there is nothing to prepare")
        return 0
    if name not in sources.SOURCES:
        if name in DATASETS:
            raise ConfigError(
                f"{name} is for your own images: there is nothing to prepare; check them with check_data.py"
            )
        raise ConfigError(unknown_name("data set", name, sources.SOURCES))
    if root.exists() and not root.is_dir():
        raise ConfigError(f"the data root {root} is a file; --root must be a folder")
    source = sources.SOURCES[name]
    preparation = Preparation(source, root, arguments.any_md5, arguments.unverified)
    given = [Path(os.path.expanduser(path)) for path in arguments.given]
    failures = preparation.run(given, arguments.download)
    survey = preparation.survey
    needed = survey.needed()
    print(f"{source.title} in {survey.folder}:")
    for line in state_lines(survey):
        print(line)
    if needed:
        print()
        for line in lines_to_get(source, root, needed):
            print(line)
    print(f"\nCheck it: lamm check-data {name} --root {root}", flush=True)
    for failure in failures:
        print(f"not fetched: {failure}", file=sys.stderr)
    return 0 if survey.loads else 1
