"""Wall-clock time of a loader's passes, for each number of worker processes."""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch.utils.data import DataLoader
from tqdm import tqdm
from yacs.config import CfgNode

from lamm.engine import Datum, build_data_loader
from lamm.engine.embedded.transforms import build_transform

PASSES = 6


class Way(NamedTuple):
    """How a loader works.

    Attributes:
        workers: Processes that load; 0: the one that uses the images.
        keeps: They stay from pass to pass and start on the next one early.
    """

    workers: int
    keeps: bool


def pass_seconds(
    cfg: CfgNode, images: Sequence[Datum], ways: Iterable[Way], step: float, rounds: int
) -> dict[Way, float]:
    """The fastest round's mean seconds of a training pass, the first of each round left out.

    Args:
        cfg: Its DATALOADER node decides on the batches, its INPUT node on the images.
        images: Of the split.
        ways: What to compare; they take turns.
        step: Seconds that are slept for each batch, as if a GPU worked on it.
        rounds: Times that each way makes `PASSES` passes.
    """
    transform = build_transform(cfg)
    best: dict[Way, float] = {}
    for way in tqdm([*ways] * rounds, unit="round", leave=False, disable=None):
        chosen = cfg.clone()
        chosen.DATALOADER.NUM_WORKERS = way.workers
        batch_size = cfg.DATALOADER.TRAIN_X.BATCH_SIZE
        loader = build_data_loader(
            chosen, "RandomSampler", images, batch_size, tfm=transform, is_train=True, keeps_workers=way.keeps
        )
        _one_pass(loader, step)
        start = time.perf_counter()
        for _ in range(PASSES - 1):
            _one_pass(loader, step)
        seconds = (time.perf_counter() - start) / (PASSES - 1)
        best[way] = min(seconds, best.get(way, float("inf")))
    return best


def _one_pass(loader: "DataLoader[object]", step: float) -> None:
    for _ in loader:
        time.sleep(step)
