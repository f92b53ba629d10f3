"""Print the table of results: mean and spread over seeds for every run below the folders given.

    lamm parse-results output/digits output/shapes --ci95 --format github
    lamm parse-results output/incremental --incremental --overview

Tables with a column per number of shots are of few-shot runs on all classes; evaluations, incremental steps and runs on
a part of the classes are counted on stderr. Exit code 0: all runs are there. 1: some are unfinished, missing, there
twice or of several engines (listed on stderr; the table shows what is finished). 2: a folder does not exist or holds
no run.
"""

import argparse
import sys
from collections.abc import Sequence

import pandas as pd

from lamm.commands.parser import Parser
from lamm.errors import ConfigError, ResultsError
from lamm.escaping import printable
from lamm.incremental.results import incremental_findings
from lamm.incremental.table import render_matrices, render_overview
from lamm.numbers import SEEDS, Range
from lamm.results.curves import few_shot_curves, mean_curves, render_by_shots, require_few_shot_runs
from lamm.results.frame import load, problems, several_engines
from lamm.results.published import place_in_tables, related
from lamm.results.schema import KEYWORDS
from lamm.results.table import FORMATS, METRICS, TABULATE_FORMATS, mean_and_spread, render
from lamm.transfer.results import transfer_findings, with_base_to_new_means
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
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=Range(-1, SEEDS.high),
        metavar="SEED",
        help="seeds that must be there for every group",
    )
    parser.add_argument(
        "--by-shots", action="store_true", help="methods beside each other, a column per number of shots (accuracy)"
    )
    parser.add_argument(
        "--cost", action="store_true", help="with --by-shots: parameters, and seconds of training with the most shots"
    )
    parser.add_argument(
        "--mean", action="store_true", help="as --by-shots, of the means over the paper's data sets and over demo data"
    )
    parser.add_argument(
        "--transfer", action="store_true", help="trained models on other domains, new classes, other data (accuracy)"
    )
    parser.add_argument(
        "--incremental", action="store_true", help="accuracy on every set of classes after every incremental step"
    )
    parser.add_argument(
        "--overview", action="store_true", help="with --incremental: a line per method, averages after the last step"
    )
    parser.add_argument("--test-log", action="store_true", help="also read log.txt files of evaluations alone")
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Print the table, and the problems on stderr."""
    if arguments.overview and not arguments.incremental:
        raise ConfigError("--overview goes with --incremental: add it")
    if arguments.cost and not arguments.by_shots:
        raise ConfigError("--cost goes with --by-shots: add it")
    if arguments.incremental:
        return _incremental(arguments)
    if arguments.transfer:
        return _transfer(arguments)
    if arguments.mean or arguments.by_shots:
        return _by_shots(arguments)
    runs = load(*arguments.folders, test_log=arguments.test_log, details=False)
    if runs.finished.any():
        table = mean_and_spread(runs, [KEYWORDS[arguments.keyword]] if arguments.keyword else METRICS)
        print(render(table, arguments.format, arguments.ci95), flush=True)
    return _report(problems(runs, arguments.seeds))


def _by_shots(arguments: argparse.Namespace) -> int:
    """The table of `--by-shots` or `--mean`; a method that lacks one of the data sets of a mean is a problem, too."""
    if arguments.mean:
        _refuse("--mean", arguments, ("transfer", "test_log", "keyword", "cost"))
    _check_layout("--mean" if arguments.mean else "--by-shots", arguments)
    runs, others = require_few_shot_runs(load(*arguments.folders, test_log=arguments.test_log))
    if others:
        print(printable(others), file=sys.stderr)
    curves = few_shot_curves(runs, KEYWORDS[arguments.keyword or "accuracy"])
    left_out: list[str] = []
    if arguments.mean:
        curves, left_out = _means(runs, curves)
    if len(curves):
        print(render_by_shots(curves, arguments.format, arguments.ci95, runs if arguments.cost else None), flush=True)
    return _report([*problems(runs, arguments.seeds), *left_out])


def _means(runs: pd.DataFrame, curves: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The mean over the paper's data sets and that over demo data; without these, over all that are there.

    Where no method is on all data sets of a mean, the data sets' own curves take its place.

    Returns:
        curves: The rows of the tables.
        lines: What the means leave out, and those over runs of several engines.
    """
    tables, lines = [], []
    datasets = list(curves.dataset.unique())
    groups = related(datasets) or [sorted(datasets, key=place_in_tables)]
    for names in groups:
        title = f"mean of {len(names)} data sets: " * (len(names) > 1) + ", ".join(names)
        means = mean_curves(runs, names).assign(dataset=title)
        found = means[means.value.notna()]
        lacking = [label for label in means.label.unique() if label not in set(found.label)]
        lines += [f"left out, not on all {len(names)} data sets: {label}" for label in lacking if len(found)]
        if found.empty and len(datasets):
            lines.append(f"no method is on all {len(names)} data sets, so there is no mean: each by itself")
            found = curves[curves.dataset.isin(names)]
        tables.append(found)
        same = runs[runs.dataset.isin(names)]
        lines += several_engines(same, ["shots", "trainer", "cfg", "split"]) if not several_engines(same) else []
    for name in datasets:
        if not any(name in names for names in groups):
            print(printable(f"left out, in no mean with the others: {name}"), file=sys.stderr)
    return pd.concat(tables), lines


def _transfer(arguments: argparse.Namespace) -> int:
    """The tables of `--transfer`; on stderr also the evaluations that have no place in them."""
    _refuse("--transfer", arguments, ("by_shots", "mean", "test_log", "keyword", "seeds"))
    frame = load(*arguments.folders)
    findings = transfer_findings(frame)
    if not (findings.results or findings.problems or findings.left_out):
        folders = ", ".join(arguments.folders)
        raise ResultsError(f"no evaluation of a trained model on other classes or data in or below {folders}")
    results, lacking = with_base_to_new_means(findings.results)
    if results:
        print(render_transfer(results, arguments.format, arguments.ci95), flush=True)
    for line in (*findings.left_out, *lacking):
        print(printable(line), file=sys.stderr)
    findings.problems.extend(several_engines(frame))
    code = _report([*findings.problems, *several_engines(frame[frame.kind == "evaluation"])])
    return code if results else code or 1


def _incremental(arguments: argparse.Namespace) -> int:
    """The matrices of `--incremental`, or their overview."""
    _refuse("--incremental", arguments, ("transfer", "by_shots", "mean", "test_log", "keyword", "seeds"))
    if arguments.overview:
        _check_layout("--overview", arguments)
    frame = load(*arguments.folders)
    findings = incremental_findings(frame)
    if findings.results:
        render = render_overview if arguments.overview else render_matrices
        print(render(findings.results, arguments.format, arguments.ci95), flush=True)
    code = _report([*findings.problems, *several_engines(frame[frame.kind == "incremental step"])])
    if not findings.results:
        raise ResultsError(f"no seed with all its steps in or below {', '.join(arguments.folders)}")
    return code


def _refuse(flag: str, arguments: argparse.Namespace, others: Sequence[str]) -> None:
    """Refuse flags that would have no effect beside another one."""
    for name in others:
        if getattr(arguments, name):
            raise ConfigError(f"{flag} has no --{name.replace('_', '-')}: leave one of the two out")


def _check_layout(flag: str, arguments: argparse.Namespace) -> None:
    """Refuse the layouts that a table of text cells does not have."""
    if arguments.format not in TABULATE_FORMATS:
        raise ConfigError(f"{flag} has no {arguments.format} layout: use {', '.join(TABULATE_FORMATS)}")


def _report(problems: list[str]) -> int:
    """List the problems; the exit code."""
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    return 1 if problems else 0
