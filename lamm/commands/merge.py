"""One classifier file from several, of the same backbone, preprocessing and context.

lamm merge a.lamm b.lamm -o c.lamm
"""

import argparse

from lamm.commands.fit import add_weights
from lamm.commands.parser import Parser
from lamm.errors import ConfigError


def main(arguments: argparse.Namespace) -> None:
    if len(arguments.files) < 2:
        raise ConfigError("one file is nothing to merge: give two or more")
    # Imported here so that --help is quick.
    import lamm
    from lamm.estimator.file import FORMAT
    from lamm.files import require_place

    require_place(arguments.output, FORMAT)
    first, *others = (lamm.load(file, arguments.backbone_path, arguments.device) for file in arguments.files)
    for other in others:
        first.merge(other, same=arguments.same)
    first.save(arguments.output)
    print(f"{arguments.output}: {len(first.classes_)} classes")


def parser() -> Parser:
    parser = Parser(description="Merge classifier files.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="classifier files")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="file to write")
    same = "what a class becomes that several have: an error (ask, the default), one class, or two"
    parser.add_argument("--same", default="ask", choices=("ask", "average", "apart"), help=same)
    add_weights(parser)
    return parser
