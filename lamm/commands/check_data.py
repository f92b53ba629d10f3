"""Check data on disk: what is there, whether it is whole, every image, and where to get what is absent.

    lamm check-data caltech101 --root data
    lamm check-data --all --quick                  # the whole benchmark, without decoding images
    lamm check-data folder --root my_photos        # your own folder of class folders
    lamm check-data csv --csv photos.csv           # your own table of path,label[,split]

Nothing is written. Faults spoil results or stop a run; notes are only good to know. Exit code 0: everything asked for
is whole (there may be notes). 1: something is faulty, partial or absent. 2: a mistake in the command.
"""

import argparse
import os
from pathlib import Path

from lamm.commands.parser import Parser, add_root_argument
from lamm.datasets import BENCHMARK, DATASETS, DEMO, OWN
from lamm.datasets.sources import SOURCES
from lamm.datasets.tables import list_in
from lamm.errors import ConfigError, unknown_name
from lamm.escaping import printable
from lamm.numbers import PROCESSES


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(
        description="Check data on disk: what is there, whether it is whole, and where to get what is absent.",
        epilog="exit code 0: all whole, perhaps with notes; 1: something is faulty, partial or absent; 2: a mistake",
    )
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help=f"of {', '.join([*BENCHMARK, *OWN])}")
    parser.add_argument("--all", action="store_true", help="the fifteen data sets of the benchmark")
    add_root_argument(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the table of data set csv")
    parser.add_argument("--quick", action="store_true", help="don't decode images, only check that they exist")
    parser.add_argument("--workers", type=PROCESSES, metavar="N", help="processes that decode (default: all cores)")
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Check one after the other, and say what was found."""
    names = names_of(arguments)
    root = Path(os.path.expanduser(arguments.root))
    if not root.is_dir() and not (arguments.csv or root.is_file()):
        print(f"The data root {root} does not exist: --root (or the variable DATA) says where the data is.\n")
    # Imported here: they load the engine, which takes seconds that a mistake should not cost.
    from lamm.checking.benchmark import check_benchmark
    from lamm.checking.findings import State, details, table
    from lamm.checking.own_images import check_own_data

    reports = []
    for name in names:
        if name in OWN:
            place = Path(os.path.expanduser(arguments.csv)) if name == "csv" and arguments.csv else root
            reports.append(check_own_data(name, place, arguments.quick, arguments.workers or 0))
        else:
            reports.append(check_benchmark(SOURCES[name], root, arguments.quick, arguments.workers or 0))
    if len(reports) > 1:
        print(f"{table(reports)}\n")
    print("\n\n".join("\n".join(map(printable, details(report))) for report in reports), flush=True)
    return 0 if all(report.state is State.WHOLE for report in reports) else 1


def names_of(arguments: argparse.Namespace) -> list[str]:
    """The data sets asked for.

    Raises:
        ConfigError: none, an unknown one, or flags that don't go together.
    """
    names = list(dict.fromkeys([*arguments.datasets, *(BENCHMARK if arguments.all else ())]))
    if not names:
        raise ConfigError("name a data set, or --all for the fifteen of the benchmark; see --help")
    for name in names:
        if name in DEMO:
            raise ConfigError(f"{name} makes itself when it is first used: there is nothing to check")
        if name not in DATASETS:
            raise ConfigError(unknown_name("data set", name, [*BENCHMARK, *OWN]))
    if arguments.csv and "csv" not in names:
        raise ConfigError("--csv is for data set csv; give that name too")
    if "csv" in names and not arguments.csv and not list_in(Path(os.path.expanduser(arguments.root))).is_file():
        raise ConfigError("data set csv needs --csv FILE")
    if arguments.quick and arguments.workers:
        raise ConfigError("--workers is for decoding images, which --quick leaves out: give one of them")
    return names
