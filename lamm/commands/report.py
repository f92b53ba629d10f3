"""Write one HTML page about the runs below folders: curves, the paper's tables beside ours, cost, classes, images;
or about classifier files.

    lamm report output/ -o report.html
    lamm report animals.lamm -o animals.html

The page needs nothing beside it. Exit code 0: it is written; it says itself which runs are unfinished. 2: a mistake,
or nothing to report.
"""

import argparse
import sys
from functools import partial

from tqdm import tqdm

from lamm.commands.parser import Parser
from lamm.errors import ConfigError
from lamm.files import require_place


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(description="Write one self-contained HTML page about the runs below the folders.")
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="a folder above runs, such as output; or classifier files"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the page to write, such as report.html")
    parser.add_argument("--title", default="", help="its heading (default: the folders)")
    parser.add_argument(
        "--trainer", nargs="+", default=[], metavar="NAME", help="show these and ZeroshotCLIP (default: all)"
    )
    parser.add_argument("--root", default="", metavar="DIR", help="data root of the images, if it has moved since")
    parser.add_argument("--test-log", action="store_true", help="also read log.txt files of evaluations alone")
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    # Imported here, and below, so that --help is quick.
    from lamm.estimator.file import is_classifier_file

    files = [is_classifier_file(path) for path in arguments.folders]
    if any(files):
        return report_on_files(arguments, all(files))
    from lamm.report.material import gather
    from lamm.report.page import MARK, require_libraries, write_report

    require_libraries()
    require_place(arguments.output, MARK)
    material = gather(arguments.folders, arguments.trainer, arguments.test_log)
    runs = f"{len(material.finished)} run{'' if len(material.finished) == 1 else 's'}"
    print(f"{runs}, finished", file=sys.stderr)
    watch = partial(tqdm, desc="classes and images", unit="panel", disable=None)
    size, left_out = write_report(material, arguments.output, arguments.title, arguments.root, watch)
    print(f"wrote {arguments.output}: {size / 1e6:.1f} MB, {runs}")
    if left_out:
        print(f"{left_out} panels of fewer shots had no room; --trainer chooses methods", file=sys.stderr)
    return 0


def report_on_files(arguments: argparse.Namespace, files_alone: bool) -> int:
    """Write the page of classifier files, and say where it is."""
    if not files_alone:
        raise ConfigError("give folders of runs or classifier files, not both on one page")
    for flag in ("trainer", "root", "test_log"):
        if getattr(arguments, flag):
            raise ConfigError(f"--{flag.replace('_', '-')} is for runs; a classifier file has none")
    from lamm.report.classifier_file import write_classifier_report

    size = write_classifier_report(arguments.folders, arguments.output, arguments.title)
    count = len(arguments.folders)
    print(f"wrote {arguments.output}: {size / 1e6:.1f} MB, {count} classifier file{'' if count == 1 else 's'}")
    return 0
