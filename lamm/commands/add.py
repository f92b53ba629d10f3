"""More classes, or more photos of known ones, for a classifier file; what it knew of the others stays as it is.

    lamm add animals.lamm axolotl/ "sea horse/"

Each folder is a class, named as the folder. The file is replaced, unless -o names another.
"""

import argparse
from pathlib import Path

from lamm.commands.fit import add_weights
from lamm.commands.parser import Parser
from lamm.errors import DataError
from lamm.escaping import printable


def main(arguments: argparse.Namespace) -> None:
    folders = [Path(folder) for folder in arguments.folders]
    names = arguments.name or [folder.resolve().name for folder in folders]
    if len(names) != len(folders):
        raise DataError(f"{len(folders)} folders, but {len(names)} names: give --name once for each folder")
    if len(set(names)) < len(names):
        raise DataError("two folders have the same class name: put their photos into one, or give --name for each")
    # Imported here so that --help is quick.
    import lamm
    from lamm.datasets.listing import folder_names, image_names
    from lamm.estimator.file import FORMAT
    from lamm.estimator.photos import files_of
    from lamm.files import exclusive, require_place

    for folder in folders:
        if folder.is_dir() and not image_names(folder) and folder_names(folder):
            raise DataError(
                f"{folder} holds folders, not photos: lamm update takes a folder of classes, lamm add the photos of one"
            )
    require_place(arguments.output or arguments.file, FORMAT)
    photos = {name: files_of(folder) for name, folder in zip(names, folders, strict=True)}
    with exclusive(arguments.file):
        classifier = lamm.load(arguments.file, arguments.backbone_path, arguments.device)
        known = {str(name) for name in classifier.classes_}
        new = {name: files for name, files in photos.items() if name not in known}
        if new:
            classifier.add_classes(new)
        for name in photos:
            if name not in new:
                classifier.add_photos(name, photos[name])
        classifier.save(arguments.output or arguments.file)
    for name, files in photos.items():
        print(f'{"new class" if name in new else "more photos of"} "{printable(name)}": {len(files)} photos')
    print(f"{arguments.output or arguments.file}: {len(classifier.classes_)} classes")


def parser() -> Parser:
    parser = Parser(description="Add classes, or photos of known classes, to a classifier file.")
    parser.add_argument("file", metavar="FILE", help="classifier file, such as animals.lamm")
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="photos of one class; its name is the class's")
    parser.add_argument("--name", action="append", metavar="NAME", help="the class's name, once for each folder")
    parser.add_argument("-o", "--output", default="", metavar="FILE", help="write to another file")
    add_weights(parser)
    return parser
