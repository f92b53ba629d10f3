"""Ways of decoding and transforming photos, timed side by side in one run.

    python tools/benchmark_decoding.py                                # photos of three sizes, made by code
    python tools/benchmark_decoding.py --images data/caltech-101 --limit 100

For each way: CPU time of one thread against that of torchvision's transforms on PIL images, how far the pixels are from
those, in levels of 255, and how alike the features of the embedded model are (cosine, mean and lowest, at its 32 × 32
pixels).
"""

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional
from yacs.config import CfgNode

from lamm.benchmark.decoding import OURS, REFERENCE, ways, write_photos
from lamm.benchmark.measure import side_by_side
from lamm.clip.tiny import load_tiny
from lamm.commands.parser import Parser, at_least
from lamm.engine import get_cfg_default
from lamm.engine.embedded.decoding import read_image
from lamm.errors import DataError

MADE = {(500, 375): 24, (2000, 1500): 8, (4000, 3000): 4}
SUFFIXES = {".jpg", ".jpeg"}
COLUMNS = ["way", "ms", "times faster", "mean difference", "largest", "feature cosine", "lowest"]
TINY_SIZE = 32


def main(arguments: argparse.Namespace) -> None:
    if arguments.images is not None:
        files = photos_in(arguments.images, arguments.limit)
        report(f"{len(files)} photos of {arguments.images}", files, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        for size, count in MADE.items():
            files = write_photos(Path(folder), size, min(count, arguments.limit))
            report(f"{len(files)} photos of {size[0]} x {size[1]}, made by code", files, arguments)


def photos_in(folder: Path, limit: int) -> list[Path]:
    """JPEG files from all over a folder; all of them can be read."""
    if not folder.is_dir():
        raise DataError(f"--images {folder} is not a folder; give one with JPEG files")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} has no .jpg or .jpeg file in it; give a folder with JPEG files")
    files = found[:: -(-len(found) // limit)]
    for file in files:
        read_image(str(file))
    return files


def report(title: str, files: list[Path], arguments: argparse.Namespace) -> None:
    """Print the table of training images, and that of test images."""
    paths = [str(file) for file in files]
    for is_train in (True, False):
        cfg = config(arguments.size)
        deviations = torch.tensor(cfg.INPUT.PIXEL_STD).view(3, 1, 1) * 255
        rows = side_by_side(silent_ways(cfg, is_train), paths, arguments.rounds, deviations)
        cosines = feature_cosines(paths, is_train)
        cells = [
            [
                name,
                f"{row.milliseconds:.2f}",
                f"{row.ratio:.2f}",
                "none" if row.equal else f"{row.mean_difference:.3f}",
                "" if row.equal else f"{row.largest_difference:.0f}",
                *(f"{cosine:.5f}" for cosine in cosines.get(name, ())),
            ]
            for name, row in rows.items()
        ]
        pipeline = "random resized crop, flip" if is_train else "resize, centre crop"
        print(f"\n{title}; {'training' if is_train else 'test'} images: {pipeline}, {arguments.size} pixels\n")
        print(tabulate(cells, headers=COLUMNS, disable_numparse=True), flush=True)


def feature_cosines(paths: list[str], is_train: bool) -> dict[str, tuple[float, float]]:
    """For our ways, the cosines of the embedded model's features with those of the reference: mean and lowest."""
    model = load_tiny()
    chosen = silent_ways(config(TINY_SIZE), is_train)

    def features(name: str) -> Tensor:
        images = []
        for number, path in enumerate(paths):
            torch.manual_seed(number)
            images.append(chosen[name](path))
        with torch.no_grad():
            return functional.normalize(model.encode_image(torch.stack(images)), dim=-1)  # type: ignore[operator]

    reference = features(REFERENCE)
    cosines = {name: (features(name) * reference).sum(-1) for name in OURS}
    return {name: (values.mean().item(), values.min().item()) for name, values in cosines.items()}


def silent_ways(cfg: CfgNode, is_train: bool) -> dict:
    """The ways, without the lines that the engine prints on building a pipeline."""
    with contextlib.redirect_stdout(io.StringIO()):
        return ways(cfg, is_train)


def config(size: int) -> CfgNode:
    """CLIP's pipeline at a size."""
    cfg = get_cfg_default()
    cfg.INPUT.SIZE = (size, size)
    cfg.INPUT.INTERPOLATION = "bicubic"
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "normalize")
    cfg.INPUT.PIXEL_MEAN = [0.48145466, 0.4578275, 0.40821073]
    cfg.INPUT.PIXEL_STD = [0.26862954, 0.26130258, 0.27577711]
    return cfg


def parser() -> Parser:
    made = Parser(description="ways of decoding and transforming photos, timed side by side")
    made.add_argument("--images", type=Path, metavar="FOLDER", help="JPEG files (default: photos made by code)")
    made.add_argument("--limit", type=at_least(1), default=100, help="photos at most (default: 100)")
    made.add_argument("--rounds", type=at_least(1), default=5, help="times each is measured; the best counts")
    made.add_argument("--size", type=at_least(1), default=224, help="pixels of a side of the result (default: 224)")
    return made
