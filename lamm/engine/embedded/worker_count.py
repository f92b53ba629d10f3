"""How many worker processes load images."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress

from PIL import Image
from yacs.config import CfgNode as CN

from lamm.engine.embedded.datum import Datum
from lamm.log import logger

SIZED = -1
"""`DATALOADER.NUM_WORKERS` that means: as many as suit the machine and the images."""

MOST = 8
TINY = 10_000
"""Pixels read and made for an image, below which a worker gains little: most of the time is not spent on pixels."""

_SAMPLE = 4  # images whose size is looked at
_PHOTO_PIXELS = 250_000  # assumed for an image that can't be opened
_BATCHES_PER_WORKER = 3  # in shared memory: two loaded ahead, one on its way
_SHARED_MEMORY = "/dev/shm"


def worker_count(cfg: CN, data_source: Sequence[Datum], batch_size: int) -> int:
    """`DATALOADER.NUM_WORKERS`, or where that is `SIZED` what suits the machine and the images.

    The batches are the same for any number.

    Args:
        cfg: The config; INPUT.SIZE and DATALOADER are read.
        data_source: The images of the split.
        batch_size: Images per batch.
    """
    options = cfg.DATALOADER
    if options.NUM_WORKERS != SIZED:
        return int(options.NUM_WORKERS)
    height, width = cfg.INPUT.SIZE
    pixels_out = height * width * options.K_TRANSFORMS
    if _mean_pixels(data_source) + pixels_out < TINY:
        return 0
    batches = -(-len(data_source) // batch_size)
    batch_bytes = min(batch_size, len(data_source)) * pixels_out * 3 * 4  # RGB, four bytes each
    return min(MOST, usable_cores(), batches, _fitting(batch_bytes))


def usable_cores() -> int:
    """Cores that this process may use, by its affinity and its container's limits."""
    from joblib import cpu_count

    return int(cpu_count())


def _mean_pixels(data_source: Sequence[Datum]) -> float:
    """Width × height, the mean over a few images from all over the split."""
    step = -(-len(data_source) // _SAMPLE)
    pixels = []
    for item in data_source[::step]:
        with suppress(Exception), Image.open(item.impath) as image:  # a broken one is reported when it is loaded
            pixels.append(image.width * image.height)
    return sum(pixels) / len(pixels) if pixels else _PHOTO_PIXELS


def _fitting(batch_bytes: int) -> int:
    """Workers whose batches fit into shared memory, which a container may have little of."""
    if not os.path.isdir(_SHARED_MEMORY):
        return MOST
    free = shutil.disk_usage(_SHARED_MEMORY).free
    fitting = free // (_BATCHES_PER_WORKER * batch_bytes)
    if fitting < 1:
        logger.info(
            "%s has %d MB left, too little for workers: loading in this process; give a container a larger --shm-size",
            _SHARED_MEMORY,
            free // 2**20,
        )
    return min(MOST, int(fitting))
