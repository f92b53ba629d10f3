"""Print the table of results: mean and spread over seeds for every run below the folders given.

    python tools/parse_results.py output/digits output/shapes --ci95 --format github

Tables with a column a number of shots are of few-shot runs on all classes; evaluations, incremental steps and runs on a
part of the classes are counted on stderr. Exit code 0: all runs are there. 1: some are unfinished, missing or there
twice (listed on stderr; the table shows what is finished). 2: a folder does not exist or holds no run.
"""

import argparse
import sys
from collections.abc import Sequence

from lamm.commands.parser import Parser
from lamm.errors import ConfigError, ResultsError
from lamm.results.collect import RunGroups, collect
from lamm.results.curves import average_curves, curves, render_by_shots, require_few_shot_runs, without_average
from lamm.results.schema import KEYWORDS
from lamm.results.table import FORMATS, METRICS, TABULATE_FORMATS, render, rows
from lamm.transfer.results import place_in_tables, transfer_findings, with_base_to_new_means
from lamm.transfer.table import render_transfer


def parser() -> Parser:
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
    if arguments.by_shots:
        return by_shots(arguments)
    found = collect(arguments.folders, test_log=arguments.test_log)
    metrics = [KEYWORDS[arguments.keyword]] if arguments.keyword else METRICS
    if found.finished:
        print(render(rows(found.finished, metrics), arguments.format, arguments.ci95), flush=True)
    return report(found.problems(arguments.seeds))


def by_shots(arguments: argparse.Namespace) -> int:
    """Print the table of `--by-shots`, and the problems on stderr."""
    layout = layout_of_shots(arguments, "--by-shots")
    found = few_shot(arguments)
    if found.finished:
        by_dataset = curves(found.finished, KEYWORDS[arguments.keyword or "accuracy"])
        print(render_by_shots(by_dataset, layout, arguments.ci95), flush=True)
    return report(found.problems(arguments.seeds))


def mean(arguments: argparse.Namespace) -> int:
    """Print the table of `--mean`; on stderr the problems, and the methods that lack one of the data sets."""
    refuse("--mean", arguments, ("transfer", "test_log", "keyword"))
    layout = layout_of_shots(arguments, "--mean")
    found = few_shot(arguments)
    by_dataset = curves(found.finished)
    names = sorted(by_dataset, key=place_in_tables)
    means = average_curves(by_dataset, names)
    if means:
        title = f"mean of {len(names)} data sets: {', '.join(names)}" if len(names) > 1 else names[0]
        print(render_by_shots({title: means}, layout, arguments.ci95), flush=True)
    lacking = [f"left out, not on all {len(names)} data sets: {name}" for name in without_average(by_dataset, names)]
    return report([*found.problems(arguments.seeds), *lacking])


def few_shot(arguments: argparse.Namespace) -> RunGroups:
    """The runs of a few-shot table; a line on stderr counts those that are none of it."""
    found = require_few_shot_runs(collect(arguments.folders, test_log=arguments.test_log))
    if found.left_out:
        print(found.left_out_line, file=sys.stderr)
    return found.groups


def transfer(arguments: argparse.Namespace) -> int:
    """Print the tables of `--transfer`; on stderr the problems, and the evaluations that have no place in them."""
    refuse("--transfer", arguments, ("by_shots", "mean", "test_log", "keyword", "seeds"))
    found = transfer_findings(arguments.folders)
    if not (found.results or found.problems or found.left_out):
        folders = ", ".join(arguments.folders)
        raise ResultsError(f"no evaluation of a trained model on other classes or data in or below {folders}")
    results, lacking = with_base_to_new_means(found.results)
    if results:
        print(render_transfer(results, arguments.format, arguments.ci95), flush=True)
    for line in (*found.left_out, *lacking):
        print(line, file=sys.stderr)
    return report(found.problems) if results else report(found.problems) or 1


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
