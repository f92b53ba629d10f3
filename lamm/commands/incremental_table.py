"""Print class-incremental results: accuracy on every set of classes after every step, mean and spread over seeds.

    python tools/incremental_table.py output/incremental --overview

Exit code 0: all seeds are there once and through all steps. 1: some are not, or are missing though others of the same
trainer, shots and steps have them (listed on stderr; the table leaves them out). 2: a folder does not exist, or holds
no seed with all its steps.
"""

import argparse
import sys

from lamm.commands.parser import Parser
from lamm.errors import ConfigError, ResultsError
from lamm.incremental.results import incremental_findings
from lamm.incremental.table import render_matrices, render_overview
from lamm.results.table import FORMATS, TABULATE_FORMATS


def parser() -> Parser:
    """The command's arguments."""
    made = Parser(
        description="Print accuracy on every set of classes after every step, for the runs below the folders."
    )
    made.add_argument("folders", nargs="+", metavar="DIR", help="any folder above runs, such as output/incremental")
    made.add_argument("--ci95", action="store_true", help="95%% confidence interval in place of the standard deviation")
    made.add_argument("--format", choices=FORMATS, default="plain", help="layout of the table (default: %(default)s)")
    made.add_argument("--overview", action="store_true", help="one line a method: averages after the last step")
    return made


def main(arguments: argparse.Namespace) -> int:
    """Print the table, and on stderr what is left out of it."""
    if arguments.overview and arguments.format not in TABULATE_FORMATS:
        raise ConfigError(f"--overview has no {arguments.format} layout: use {', '.join(TABULATE_FORMATS)}")
    found = incremental_findings(arguments.folders)
    if found.results:
        render = render_overview if arguments.overview else render_matrices
        print(render(found.results, arguments.format, arguments.ci95), flush=True)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    if not found.results:
        raise ResultsError(f"no seed with all its steps in or below {', '.join(arguments.folders)}")
    return 1 if found.problems else 0
