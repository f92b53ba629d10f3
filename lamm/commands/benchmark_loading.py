"""How long a few-shot epoch's images take to load, for each number of worker processes, in one run.

    python tools/benchmark_loading.py                                  # photos of 500 x 375, made by code
    python tools/benchmark_loading.py --images data/caltech-101 --count 96 --step 30
    python tools/benchmark_loading.py --images data/digits --size 32 --count 160

Workers that are kept stay from epoch to epoch and start on the next one early. A step sleeps, as if a GPU worked.
"""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

from tabulate import tabulate

from lamm.benchmark.decoding import LoaderWay, pass_seconds, write_photos
from lamm.commands.parser import Parser, at_least
from lamm.engine import Datum, get_cfg_default
from lamm.engine.embedded.worker_count import SIZED, usable_cores, worker_count
from lamm.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".png"}
MADE = (500, 375)


def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if arguments.images is None:
            files = write_photos(Path(folder), MADE, arguments.count)
        else:
            files = images_in(arguments.images, arguments.count)
        report([Datum(str(file)) for file in files], arguments)


def images_in(folder: Path, count: int) -> list[Path]:
    """Image files from all over a folder."""
    if not folder.is_dir():
        raise DataError(f"--images {folder} is not a folder; give one with JPEG or PNG files")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} has no .jpg or .png file in it; give a folder with JPEG or PNG files")
    return found[:: -(-len(found) // count)]


def report(images: list[Datum], arguments: argparse.Namespace) -> None:
    """Print the table."""
    cfg = get_cfg_default()
    cfg.INPUT.SIZE = (arguments.size, arguments.size)
    cfg.INPUT.INTERPOLATION = "bicubic"
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "normalize")
    cfg.DATALOADER.NUM_WORKERS = SIZED
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = arguments.batch
    chosen = worker_count(cfg, images, arguments.batch)
    numbers = sorted({1, min(2, usable_cores()), usable_cores(), chosen} - {0})
    ways = [LoaderWay(0, False), *(LoaderWay(number, keeps) for number in numbers for keeps in (False, True))]
    seconds = {}
    for step in (0.0, arguments.step / 1000):
        with contextlib.redirect_stdout(io.StringIO()):  # the engine's lines on building a pipeline
            seconds[step] = pass_seconds(cfg, images, ways, step, arguments.rounds)
    cells = []
    for way in ways:
        cells.append([str(way.workers), "yes" if way.keeps else "no" if way.workers else ""])
        for times in seconds.values():
            cells[-1] += [f"{1000 * times[way]:.0f}", f"{times[ways[0]] / times[way]:.2f}"]
    headers = ["workers", "kept", "ms an epoch", "times faster", f"ms with {arguments.step} ms a step", "times faster"]
    batches = max(1, len(images) // arguments.batch)
    print(f"{len(images)} images, {batches} batches of {min(len(images), arguments.batch)}, {usable_cores()} cores\n")
    print(tabulate(cells, headers=headers, disable_numparse=True))
    print(f"\nDATALOADER.NUM_WORKERS -1 takes {chosen}.")


def parser() -> Parser:
    made = Parser(description="how long a few-shot epoch's images take to load, by number of worker processes")
    made.add_argument("--images", type=Path, metavar="FOLDER", help="JPEG or PNG files (default: photos made by code)")
    made.add_argument("--count", type=at_least(1), default=96, help="images of an epoch at most (default: 96)")
    made.add_argument("--batch", type=at_least(1), default=32, help="images of a batch (default: 32)")
    made.add_argument("--size", type=at_least(1), default=224, help="pixels of a side of the result (default: 224)")
    made.add_argument("--step", type=at_least(0), default=30, help="milliseconds of a step (default: 30)")
    made.add_argument("--rounds", type=at_least(1), default=3, help="times each is measured; the best counts")
    return made
