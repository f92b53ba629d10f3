"""Print the table of results: mean and spread over seeds for every run below the folders given.

    python tools/parse_results.py output/digits output/shapes --ci95 --format github

Exit code 0: all runs are there. 1: some are unfinished, missing or there twice (listed on stderr; the table shows what
is finished). 2: a folder does not exist or holds no run.
"""

import argparse
import sys
from collections.abc import Sequence

from lamm.commands import Parser, run
from lamm.errors import ConfigError, ResultsError
from lamm.results.averages import average_curves
from lamm.results.collect import collect
from lamm.results.few_shot_curve import curves
from lamm.results.incremental import PROTOCOL
from lamm.results.shots_table import render_by_shots
from lamm.results.table import FORMATS, METRICS, TABULATE_FORMATS, render, rows
from lamm.results.transfer import place_in_tables, results_of
from lamm.results.transfer_runs import EVALUATION, find_transfers
from lamm.results.transfer_table import render_transfer

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
    parser.add_argument("--mean", action="store_true", help="as --by-shots, of the mean over the data sets there")
    parser.add_argument(
        "--transfer", action="store_true", help="trained models on other domains, new classes, other data (accuracy)"
    )
    parser.add_argument("--test-log", action="store_true", help="also read log.txt files of evaluations alone")
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Print the table, and the problems on stderr."""
    if arguments.transfer:
        return transfer(arguments)
    if arguments.mean:
        return mean(arguments)
    found = collect(arguments.folders, test_log=arguments.test_log)
    metrics = [KEYWORDS[arguments.keyword]] if arguments.keyword else METRICS
    if arguments.by_shots:
        layout = layout_of_shots(arguments, "--by-shots")
        if found.finished:
            print(render_by_shots(curves(found.finished, metrics[0]), layout, arguments.ci95), flush=True)
    elif found.finished:
        print(render(rows(found.finished, metrics), arguments.format, arguments.ci95), flush=True)
    return report(found.problems(arguments.seeds))


def mean(arguments: argparse.Namespace) -> int:
    """Print the table of `--mean`; on stderr the problems, and the methods that lack one of the data sets."""
    refuse("--mean", arguments, ("transfer", "test_log", "keyword"))
    layout = layout_of_shots(arguments, "--mean")
    found = collect(arguments.folders)
    trained = {key: runs for key, runs in found.finished.items() if key.protocol not in (EVALUATION, PROTOCOL)}
    by_dataset = curves(trained)
    names = sorted(by_dataset, key=place_in_tables)
    means = average_curves(by_dataset, names)
    if means:
        title = f"mean of {len(names)} data sets: {', '.join(names)}" if len(names) > 1 else names[0]
        print(render_by_shots({title: means}, layout, arguments.ci95), flush=True)
    labels = dict.fromkeys(curve.label for dataset in names for curve in by_dataset[dataset])
    shown = {curve.label for curve in means}
    lacking = [f"left out, not on all {len(names)} data sets: {label}" for label in labels if label not in shown]
    return report([*found.problems(arguments.seeds), *lacking])


def transfer(arguments: argparse.Namespace) -> int:
    """Print the tables of `--transfer`, and the problems on stderr."""
    refuse("--transfer", arguments, ("by_shots", "mean", "test_log", "keyword", "seeds"))
    transfers = find_transfers(arguments.folders)
    results = results_of(transfers.found)
    problems = [*transfers.problems, *(problem for result in results for problem in result.problems)]
    if not results and not problems:
        folders = ", ".join(arguments.folders)
        raise ResultsError(f"no evaluation of a trained model on other classes or data in or below {folders}")
    if results:
        print(render_transfer(results, arguments.format, arguments.ci95), flush=True)
    return report(problems)


def refuse(flag: str, arguments: argparse.Namespace, others: Sequence[str]) -> None:
    """Refuse flags that would have no effect beside another one."""
    for name in others:
        if getattr(arguments, name):
            raise ConfigError(f"{flag} has no --{name.replace('_', '-')}: leave one of the two out")


def layout_of_shots(arguments: argparse.Namespace, flag: str) -> str:
    """The layout of a table with a column a number of shots."""
    if arguments.format not in TABULATE_FORMATS:
        raise ConfigError(f"{flag} has no {arguments.format} layout: use {', '.join(TABULATE_FORMATS)}")
    return str(arguments.format)


def report(problems: list[str]) -> int:
    """List the problems; the exit code."""
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    run(build_parser(), main)
