"""Classify photos with what a run has learned; its data set is not needed.

    lamm predict output/digits/shots_16/LAMM/tiny_ep50/seed1 holiday/ scans/*.png --top-k 3 --csv out.csv
    lamm predict animals.lamm holiday/ --unknown

One line per photo on stdout: path, then classes with their probabilities, the best first; separated by tabs unless
stdout is a terminal. Exit code 0: all photos were classified. 1: some could not be found or read (listed on stderr; the
others were classified). 2: a mistake in the arguments, a run that can't be used, or no photo at all.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lamm.commands.parser import Parser, add_run_arguments, at_least, chosen_device, imported_extensions
from lamm.errors import ConfigError, DataError
from lamm.files import atomic_path, require_place
from lamm.log import warnings_alone
from lamm.numbers import PROCESSES, Range

if TYPE_CHECKING:
    from lamm.inference.photos import Unreadable

SOME_NOT_CLASSIFIED = 1


def main(arguments: argparse.Namespace) -> int:
    if arguments.quiet and not arguments.csv:
        raise ConfigError("--quiet without --csv would put the classes nowhere: give --csv FILE, or leave --quiet out")
    from lamm.inference.photos import find_photos  # here and below: it takes torch

    photos = find_photos(arguments.photos)
    if not photos.files:
        raise DataError(f"there is no photo to classify: {'; '.join(one.line() for one in photos.missing)}")
    with csv_file(arguments.csv) as file:
        classifier = load(arguments)
        failed = [*photos.missing, *classify(classifier, photos.files, file, arguments)]
    for one in failed:
        print(f"not classified: {one.line()}", file=sys.stderr)
    return SOME_NOT_CLASSIFIED if failed else 0


@contextmanager
def csv_file(path: str) -> Iterator[Any]:
    """The CSV file, begun beside its place at once: a place that can't be written to is reported before the work."""
    if not path:
        yield None
        return
    there = os.path.realpath(path)
    # A name that is no UTF-8 is written with backslashes, so that the file is UTF-8.
    text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    if os.path.exists(there) and not os.path.isfile(there) and not os.path.isdir(there):
        # A pipe or a device is written to, never replaced.
        with open(there, "w", **text) as file:
            yield file
        return
    from lamm.inference.photos import CSV_MARK

    require_place(path, CSV_MARK)
    with atomic_path(there) as temporary, temporary.open("w", **text) as file:
        yield file


def load(arguments: argparse.Namespace) -> Any:
    """The run's classifier; what a user should know about it goes to stderr."""
    with warnings_alone():
        extensions = imported_extensions(arguments.imports)
        from lamm.estimator.model import model_of

        device = chosen_device(arguments.device)
        classifier = model_of(arguments.run_dir, extensions, device, arguments.precision, arguments.backbone_path)
    if arguments.unknown and classifier.strange is None:
        raise ConfigError(
            f"--unknown: nothing tells what is strange to {arguments.run_dir}: it needs a classifier file whose "
            "training left photos out (lamm fit PHOTOS -o FILE); --min-confidence works with all"
        )
    for note in classifier.notes:
        print(f"note: {note}", file=sys.stderr)
    return classifier


def classify(classifier: Any, photos: Sequence[str], file: Any, arguments: argparse.Namespace) -> "list[Unreadable]":
    """Classify, print and write; what could not be read."""
    from lamm.inference.photos import Layout, Prediction, Table, Unreadable, predictions
    from lamm.memory import usable_cores

    workers = usable_cores() if arguments.workers is None else arguments.workers
    layout = Layout(photos, classifier.class_names) if sys.stdout.isatty() else Layout()
    table = Table(file, min(arguments.top_k, len(classifier.class_names))) if file else None
    batches = predictions(
        photos,
        classifier.transform,
        partial(classifier.judged, unknown=arguments.unknown, min_confidence=arguments.min_confidence),
        classifier.class_names,
        arguments.top_k,
        arguments.batch_size,
        workers,
        classifier.upright,
    )
    failed = []
    with tqdm(total=len(photos), unit="photo", disable=None) as bar:
        for batch in batches:
            done = [one for one in batch if isinstance(one, Prediction)]
            failed += [one for one in batch if isinstance(one, Unreadable)]
            if done and not arguments.quiet:
                with tqdm.external_write_mode(file=sys.stdout):
                    print("\n".join(layout.line(one) for one in done), flush=True)
            if table is not None:
                table.write(done)
            bar.update(len(batch))
    return failed


def parser() -> Parser:
    parser = Parser(description="Classify photos with what a run has learned. Its data set is not needed.")
    add_run_arguments(parser)
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders (all photos below them), patterns")
    parser.add_argument("--top-k", type=at_least(1), default=1, metavar="K", help="classes per photo (default: 1)")
    parser.add_argument(
        "--csv", default="", metavar="FILE", help="also write path,class_1,probability_1,… to this file"
    )
    parser.add_argument("--unknown", action="store_true", help='say "unknown" where a photo shows none of the classes')
    parser.add_argument(
        "--min-confidence",
        type=Range(0, 1, whole=False),
        default=0.0,
        metavar="P",
        help='say "unknown" where the best class is less probable',
    )
    parser.add_argument("--quiet", action="store_true", help="print no line per photo on stdout")
    parser.add_argument("--batch-size", type=at_least(1), default=64, metavar="B", help="photos at once (default: 64)")
    parser.add_argument(
        "--workers", type=Range(0, PROCESSES.high), metavar="W", help="decoding processes (default: one per core)"
    )
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
    parser.add_argument("--precision", default="", help="auto, fp32, fp16, amp or bf16 (default: PREC of the run)")
    return parser
