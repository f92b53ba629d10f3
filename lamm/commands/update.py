"""Learn what is new in a folder of photos: new classes, and new photos of known ones; the rest is not looked at again.

    lamm update animals.lamm my_photos/

The file is replaced, unless -o names another.
"""

import argparse

from lamm.commands.fit import add_weights
from lamm.commands.parser import Parser
from lamm.escaping import printable


def main(arguments: argparse.Namespace) -> None:
    # Imported here so that --help is quick.
    import lamm
    from lamm.files import exclusive

    with exclusive(arguments.file):
        classifier = lamm.load(arguments.file, arguments.backbone_path, arguments.device)
        known = {str(name) for name in classifier.classes_}
        learned = classifier.update(arguments.photos)
        if learned or arguments.output:
            classifier.save(arguments.output or arguments.file)
    for name, count in learned.items():
        print(f'{"more photos of" if name in known else "new class"} "{printable(name)}": {count} photos')
    print(
        "nothing is new" if not learned else f"{arguments.output or arguments.file}: {len(classifier.classes_)} classes"
    )


def parser() -> Parser:
    parser = Parser(description="Learn what is new in a folder of photos.")
    parser.add_argument("file", metavar="FILE", help="classifier file, such as animals.lamm")
    parser.add_argument("photos", metavar="FOLDER", help="holds a folder of photos for each class")
    parser.add_argument("-o", "--output", default="", metavar="FILE", help="write to another file")
    add_weights(parser)
    return parser
