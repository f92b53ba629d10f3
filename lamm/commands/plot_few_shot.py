"""Draw few-shot curves: accuracy over shots with error bars over seeds, a panel a data set, a line a method.

    python tools/plot_few_shot.py output/digits output/shapes -o few_shot.png

Evaluations, incremental steps and runs on a part of the classes are no part of it: a line on stderr counts them. Exit
code 0: all runs are there. 1: some are unfinished, missing or without a place in the picture (listed on stderr; the
picture shows what is finished). 2: there is nothing to draw.
"""

import argparse
import sys

from lamm.commands.parser import Parser
from lamm.results.collect import collect, describe
from lamm.results.curves import curves, require_few_shot_runs, without_point
from lamm.results.figure import draw
from lamm.results.schema import KEYWORDS


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(description="Draw accuracy over shots, with error bars over seeds, for the runs below the folders.")
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a folder above runs, such as output")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="picture to write: .png, .svg or .pdf")
    parser.add_argument("--keyword", choices=KEYWORDS, default="accuracy", help="the metric (default: %(default)s)")
    parser.add_argument("--test-log", action="store_true", help="also read log.txt files of evaluations alone")
    return parser


def main(arguments: argparse.Namespace) -> int:
    """Draw the picture, and list the problems on stderr."""
    few_shot = require_few_shot_runs(collect(arguments.folders, test_log=arguments.test_log))
    found, metric = few_shot.groups, KEYWORDS[arguments.keyword]
    if few_shot.left_out:
        print(few_shot.left_out_line, file=sys.stderr)
    draw(curves(found.finished, metric), arguments.output, metric)
    print(f"wrote {arguments.output}")
    left_out = [f"not in the picture: {describe(key)}" for key in without_point(found.finished, metric)]
    problems = [*found.problems(), *left_out]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
