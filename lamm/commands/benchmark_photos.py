"""What `lamm benchmark --decoding` and `--loading` print: ways of reading photos.

`lamm/commands/benchmark.py` says what is measured.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import torch
from tabulate import tabulate

from lamm.benchmark.decoding import feature_cosines, image_files, pass_seconds, pipeline, ways, write_photos
from lamm.benchmark.measure import side_by_side
from lamm.engine import Datum
from lamm.engine.embedded.decoding import read_image
from lamm.engine.embedded.loader import SIZED, worker_count
from lamm.memory import usable_cores

PHOTOS = {(500, 375): 24, (2000, 1500): 8, (4000, 3000): 4}  # sizes, and how many are made by code
JPEG = (".jpg", ".jpeg")
COLUMNS = ["way", "ms", "times faster", "mean difference", "largest", "feature cosine", "lowest"]


def decoding(arguments: argparse.Namespace) -> None:
    """The ways of decoding and transforming photos."""
    limit = arguments.limit or 100
    if arguments.images is not None:
        files = image_files(arguments.images, JPEG, limit)
        for file in files:
            read_image(str(file))  # all of them can be read
        decoding_tables(f"{len(files)} photos of {arguments.images}", files, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        for size, count in PHOTOS.items():
            files = write_photos(Path(folder), size, min(count, limit))
            decoding_tables(f"{len(files)} photos of {size[0]} x {size[1]}, made by code", files, arguments)


def decoding_tables(title: str, files: list[Path], arguments: argparse.Namespace) -> None:
    """Print the table of training images, and that of test images."""
    paths = [str(file) for file in files]
    for is_train in (True, False):
        cfg = pipeline(arguments.size)
        deviations = torch.tensor(cfg.INPUT.PIXEL_STD).view(3, 1, 1) * 255
        rows = side_by_side(ways(cfg, is_train), paths, arguments.rounds or 5, deviations)
        cosines = feature_cosines(paths, is_train)
        cells = []
        for row in rows.itertuples():
            away = ["none", ""] if row.equal else [f"{row.mean_difference:.3f}", f"{row.largest_difference:.0f}"]
            alike = [f"{cosine:.5f}" for cosine in cosines.get(row.Index, ())]
            cells.append([row.Index, f"{row.milliseconds:.2f}", f"{row.ratio:.2f}", *away, *alike])
        steps = "training images: random resized crop, flip" if is_train else "test images: resize, centre crop"
        print(f"\n{title}; {steps}, {arguments.size} pixels\n")
        print(tabulate(cells, headers=COLUMNS, disable_numparse=True), flush=True)


def loading(arguments: argparse.Namespace) -> None:
    """A few-shot epoch's images with each number of worker processes."""
    limit, batch = arguments.limit or 96, arguments.batch
    cfg = pipeline(arguments.size)
    cfg.DATALOADER.NUM_WORKERS = SIZED
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = batch
    with tempfile.TemporaryDirectory() as folder:
        if arguments.images is None:
            files = write_photos(Path(folder), next(iter(PHOTOS)), limit)
        else:
            files = image_files(arguments.images, (*JPEG, ".png"), limit)
        images = [Datum(str(file)) for file in files]
        automatic = worker_count(cfg, images, batch)
        numbers = sorted({1, min(2, usable_cores()), usable_cores(), automatic} - {0})
        loaders = [(0, False), *itertools.product(numbers, (False, True))]
        steps = (0.0, arguments.step / 1000)
        seconds = [pass_seconds(cfg, images, loaders, step, arguments.rounds or 3) for step in steps]
    cells = []
    for workers, keeps in loaders:
        cells.append([str(workers), "yes" if keeps else "no" if workers else ""])
        for times in seconds:
            own = times[workers, keeps]
            cells[-1] += [f"{1000 * own:.0f}", f"{times[loaders[0]] / own:.2f}"]
    with_steps = f"ms with {arguments.step} ms per step"
    headers = ["workers", "kept", "ms per epoch", "times faster", with_steps, "times faster"]
    batches = max(1, len(images) // batch)
    print(f"{len(images)} images, {batches} batches of {min(len(images), batch)}, {usable_cores()} cores\n")
    print(tabulate(cells, headers=headers, disable_numparse=True))
    print(f"\nDATALOADER.NUM_WORKERS -1 takes {automatic}.")
