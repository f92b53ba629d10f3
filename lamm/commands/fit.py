"""A classifier from a folder of photos, in one file.

    lamm fit my_photos/ -o animals.lamm

The folder holds a folder for each class. Some photos of each class are held out: by them the classifier is compared
with other methods. What it learned, and what `lamm predict`, `add`, `merge`, `update` and `export` need, is in the
file; no photo is.
"""

import argparse
import math

from lamm.commands.parser import Parser
from lamm.errors import ConfigError
from lamm.numbers import SEEDS, Range


def main(arguments: argparse.Namespace) -> None:
    # Imported here so that --help is quick.
    from lamm.estimator.classifier import Classifier
    from lamm.estimator.file import FORMAT
    from lamm.files import require_place

    require_place(arguments.output, FORMAT)
    words = arguments.settings
    if len(words) % 2:
        raise ConfigError(f"{words[-1]} has no value: --settings takes KEY VALUE pairs")
    classifier = Classifier(
        arguments.backbone,
        arguments.method,
        shots=arguments.shots,
        seed=arguments.seed,
        folds=arguments.folds,
        settings=dict(zip(words[::2], words[1::2], strict=True)),
        weights=arguments.backbone_path,
        device=arguments.device,
    )
    classifier.fit(arguments.photos)
    classifier.save(arguments.output)
    print(f"{len(classifier.classes_)} classes; accuracy on {classifier.comparison_by_}:")
    for method, accuracy in classifier.comparison_.items():
        print(f"  {method:<14} {accuracy:5.1f}%")
    confidence = classifier.confidence_
    if confidence.photos:
        print(f"from {confidence.photos} photos that were left out:")
        before = f" (without temperature {confidence.ece_before:.1f}%)" if confidence.temperature != 1 else ""
        print(f"  calibration error {confidence.ece:.1f}%{before}")
        if not math.isnan(confidence.auroc):
            print(f"  right answers told from wrong ones: AUROC {confidence.auroc:.1f}%")
    print(arguments.output)


def parser() -> Parser:
    parser = Parser(description="Make a classifier from a folder of photos, in one file.")
    parser.add_argument("photos", metavar="FOLDER", help="holds a folder of photos for each class")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="file to write, such as animals.lamm")
    parser.add_argument("--backbone", default="ViT-B/16", help="CLIP model (default: ViT-B/16; tiny is in the package)")
    parser.add_argument("--method", default="LAMM_GDA", help="trainer (default: LAMM_GDA)")
    parser.add_argument("--shots", type=Range(1), metavar="N", help="training photos per class (default: all)")
    parser.add_argument("--seed", type=Range(0, SEEDS.high), default=1, help="of training (default: 1)")
    folds = "classifiers trained beside to judge this one; 0: none, which is faster (default: 3)"
    parser.add_argument("--folds", type=Range(0, 100), default=3, metavar="N", help=folds)
    add_weights(parser)
    settings = "config keys and their values, as of lamm train; come last"
    parser.add_argument("--settings", nargs="+", default=[], metavar="KEY VALUE", help=settings)
    return parser


def add_weights(parser: Parser) -> None:
    """Add where CLIP's weights are, and where to compute."""
    parser.add_argument(
        "--backbone-path", default="", metavar="FILE", help="CLIP's weights, if they are not in the usual place"
    )
    parser.add_argument("--device", default="", help="cpu or cuda (default: a GPU if there is one)")
