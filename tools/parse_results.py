"""Print the table of results: mean and spread over seeds for every run below the folders given.

    python tools/parse_results.py output/digits output/shapes --ci95 --format github

Exit code 0: all runs are there. 1: some are unfinished, missing or there twice (listed on stderr; the table shows what
is finished). 2: a folder does not exist or holds no run.
"""

import argparse
import sys

from lamm.commands import Parser, run
from lamm.errors import ConfigError
from lamm.results.collect import collect
from lamm.results.few_shot_curve import curves
from lamm.results.shots_table import render_by_shots
from lamm.results.table import FORMATS, METRICS, TABULATE_FORMATS, render, rows

KEYWORDS = {"accuracy": "accuracy", "error": "error_rate", "macro_f1": "macro_f1"}


def build_parser() -> Parser:
    """The command's arguments."""
    parser = Parser(description="Print mean and spread over seeds for every run below the folders given.")
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a seed folder, or any folder above it")
    parser.add_argument(
        "--ci95", action="store_true", help="95%% confidence interval in place of the standard deviation"
    )
    parser.add_argument("--format", choices=FORMATS, default="plain", help="layout of the table (default: %(default)s)")
    parser.add_argument("--keyword", choices=KEYWORDS, help="the one metric to show (default: accuracy and macro_f1)")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="seeds that must be there for every group")
    parser.add_argument(
        "--by-shots", action="store_true", help="methods beside each other, a column a number of shots (accuracy)"
    )
    parser.add_argument("--test-log", action="store_true", help="also read log.txt files of evaluations alone")
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Print the table, and the problems on stderr."""
    found = collect(arguments.folders, test_log=arguments.test_log)
    metrics = [KEYWORDS[arguments.keyword]] if arguments.keyword else METRICS
    if arguments.by_shots and arguments.format not in TABULATE_FORMATS:
        raise ConfigError(f"--by-shots has no {arguments.format} layout: use {', '.join(TABULATE_FORMATS)}")
    if found.finished and arguments.by_shots:
        by_shots = curves(found.finished, metrics[0])
        print(render_by_shots(by_shots, arguments.format, arguments.ci95), flush=True)
    elif found.finished:
        print(render(rows(found.finished, metrics), arguments.format, arguments.ci95), flush=True)
    problems = found.problems(arguments.seeds)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    run(build_parser(), main)
