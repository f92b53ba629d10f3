"""Draw few-shot curves: accuracy over shots with error bars over seeds, a panel per data set, a line per method.

    lamm plot-few-shot output/digits output/shapes -o few_shot.png

Evaluations, incremental steps and runs on a part of the classes are left out: a line on stderr counts them. Exit code
0: all runs are there. 1: some are unfinished, missing or without a place in the picture (listed on stderr; the picture
shows what is finished). 2: there is nothing to draw.
"""

import argparse
import sys

from lamm.commands.parser import Parser
from lamm.escaping import printable
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
    from lamm.results.curves import few_shot_curves, require_few_shot_runs, without_point
    from lamm.results.figure import draw, require_picture
    from lamm.results.frame import GROUP, describe, load, problems

    require_picture(arguments.output)
    few_shot, left_out = require_few_shot_runs(load(*arguments.folders, test_log=arguments.test_log))
    if left_out:
        print(printable(left_out), file=sys.stderr)
    metric = KEYWORDS[arguments.keyword]
    draw(few_shot_curves(few_shot, metric), arguments.output, metric)
    print(f"wrote {arguments.output}")
    groups = without_point(few_shot, metric)[GROUP].itertuples(index=False)
    lines = [*problems(few_shot), *(f"not in the picture: {describe(*group)}" for group in groups)]
    for line in lines:
        print(printable(line), file=sys.stderr)
    return 1 if lines else 0
