"""Write what a run has learned as files for other programs; its data set is not needed.

    lamm export output/digits/shots_16/LAMM/tiny_ep50/seed1

Into RUN_DIR/export, or the folder given with -o:
- classifier.safetensors: unit class features (N, E), the logit scale, and the image tower's prompts, if any;
- classifier.json: class names, backbone, preprocessing, and how scores are made of these;
- classifier.onnx: the whole classifier, from preprocessed images to logits and probabilities, for any number of images
  (needs: pip install -e ".[onnx]").
All in fp32, whatever the run's precision.
"""

import argparse
import sys
from pathlib import Path

from lamm.commands.parser import Parser, add_run_arguments, imported_extensions
from lamm.log import warnings_alone


def main(arguments: argparse.Namespace) -> None:
    usual = Path(arguments.run_dir)
    folder = Path(arguments.output or (usual / "export" if usual.is_dir() else f"{usual.with_suffix('')}-export"))
    with warnings_alone():
        extensions = imported_extensions(arguments.imports)
        from lamm.estimator.model import model_of
        from lamm.inference.export import export

        classifier = model_of(arguments.run_dir, extensions, precision="fp32", weights=arguments.backbone_path)
        assert classifier.run is not None, "it was made from a run or a file"
        files, notes = export(classifier, classifier.run, folder, onnx=not arguments.no_onnx)
    for note in [*classifier.notes, *notes]:
        print(f"note: {note}", file=sys.stderr)
    for file in files:
        print(f"{file}  {file.stat().st_size:,} bytes")


def parser() -> Parser:
    parser = Parser(description="Write what a run has learned as files for other programs.")
    add_run_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="",
        metavar="FOLDER",
        help="where to (default: RUN_DIR/export; of NAME.lamm NAME-export)",
    )
    parser.add_argument("--no-onnx", action="store_true", help="only class features and their description")
    return parser
