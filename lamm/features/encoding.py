"""Views of images, and what a tower makes of them: decoded, encoded in shares, stored, once each.

Letters: B images per batch, E embedding size; N positions and W width of the image tower, whose tokens at a cut are
stored for trainers that tune what is above it.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from lamm.engine.embedded.decoding import ImageFile
from lamm.engine.embedded.loader import worker_errors
from lamm.errors import ConfigError
from lamm.features.store import FeatureStore, StoredRow
from lamm.files import sha256_of_file
from lamm.images import image_errors
from lamm.log import logger
from lamm.parallel.ranks import current_ranks
from lamm.parallel.sharing import encoded_share, gather_shares


class View(NamedTuple):
    """One view of an image file: the file's path, the number of the view, and the key that it is stored under."""

    path: str
    number: int
    key: bytes


class ViewDataset(Dataset[Tensor]):
    """Reads and transforms views; item i is the image of view i, (3, H, W).

    Args:
        views: what to make.
        transform: from an image, read the way it asks for, to a tensor. What it draws at random depends on the file's
            content and the number of the view alone: not on where the file lies, or since when.
        upright: turn images as their EXIF orientation says.
    """

    def __init__(self, views: Sequence[View], transform: Callable[[Any], Tensor], upright: bool = False) -> None:
        self._views, self._transform, self._upright = views, transform, upright

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, index: int) -> Tensor:
        view = self._views[index]
        image = ImageFile(view.path, self._upright).opened_for(self._transform)
        with image_errors(view.path):
            content = sha256_of_file(Path(view.path))
        seed = hashlib.sha256(f"{content} {view.number}".encode()).digest()
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            random.seed(seed)
            np.random.seed(int.from_bytes(seed[:4], "big"))
            torch.manual_seed(int.from_bytes(seed[:8], "big") >> 1)
            return self._transform(image)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


# Features per stored file: a run that is killed loses no more than these.
VIEWS_PER_FILE = 8192


def features_of(
    views: Sequence[View],
    store: FeatureStore,
    images: Callable[[Sequence[View]], Dataset[Tensor]],
    encode: Callable[[Tensor], Tensor],
    batch_size: int,
    workers: int,
) -> Tensor:
    """The features of views, in their order, from the store or encoded and stored. Shape: (len(views), E), fp32

    If several processes train together, the first one reads and stores, and each encodes a share of what is missing.

    Args:
        views: what to encode; a view that comes twice is encoded once.
        store: where features are stored.
        images: of some of the views; a `ViewDataset`.
        encode: from images (B, 3, H, W) on the CPU to features (B, E), fp32.
        batch_size: B.
        workers: processes that decode.

    Raises:
        DataError: an image can't be read.
    """
    ranks = current_ranks()
    stored = store.read([view.key for view in views]) if ranks.first else {}
    missing = ranks.from_first(list({view.key: view for view in views if view.key not in stored}.values()))
    for part, features in encoded_in_parts(missing, len(views), VIEWS_PER_FILE, images, encode, batch_size, workers):
        if ranks.first:
            store.write([view.key for view in part], features)
            stored.update(zip((view.key for view in part), features, strict=True))
    return ranks.tensor_from_first(torch.stack([stored[view.key] for view in views]) if ranks.first else None)


BYTES_PER_FILE = 256e6
"""Of tokens; about as much memory does their encoding take."""


def tokens_of(
    views: Sequence[View],
    store: FeatureStore,
    images: Callable[[Sequence[View]], Dataset[Tensor]],
    encode: Callable[[Tensor], Tensor],
    batch_size: int,
    workers: int,
) -> list[StoredRow]:
    """Where the tokens of views are stored, fp16, in their order; those that were not there are by then.

    Args:
        views, store, images, batch_size, workers: as of `features_of`.
        encode: from images (B, 3, H, W) on the CPU to tokens (B, N, W).

    Raises:
        ConfigError: the tokens can't be stored, or are not numbers that fp16 has.
        DataError: an image can't be read.
    """
    ranks = current_ranks()
    keys = [view.key for view in views]
    there = ranks.from_first(set(store.open_rows(keys)) if ranks.first else set())
    missing = list({view.key: view for view in views if view.key not in there}.values())

    def halved(images: Tensor) -> Tensor:
        tokens = encode(images).half()
        if not tokens.isfinite().all():
            raise ConfigError("INPUT.CACHE_VIEWS: the image tower's tokens are too large for fp16: set it to 0")
        return tokens

    per_file = 1
    if missing:
        one = images(missing[:1])[0][None]
        per_file = max(1, int(BYTES_PER_FILE / (2 * halved(one).numel())))
    for part, tokens in encoded_in_parts(missing, len(views), per_file, images, halved, batch_size, workers):
        if ranks.first:
            store.write([view.key for view in part], tokens)
    ranks.barrier()
    rows = store.open_rows(keys)
    if not set(keys) <= rows.keys():
        raise ConfigError(
            "INPUT.CACHE_VIEWS: the tokens at the cut are not all on the disk: INPUT.CACHE_DIR must be a folder with "
            "room for INPUT.CACHE_GB, on a disk that all processes share; or set INPUT.CACHE_VIEWS to 0"
        )
    return [rows[key] for key in keys]


def encoded_in_parts(
    missing: Sequence[View],
    views: int,
    per_file: int,
    images: Callable[[Sequence[View]], Dataset[Tensor]],
    encode: Callable[[Tensor], Tensor],
    batch_size: int,
    workers: int,
) -> Iterator[tuple[Sequence[View], Tensor]]:
    """Views with what `encode` makes of them, so many at a time as go into one file; see `features_of`.

    Args:
        missing: what to encode; each process encodes a share.
        views: how many are wanted in all, for the log.
        per_file: how many go into one file.
        images, encode, batch_size, workers: see `features_of`.
    """
    if not missing:
        return
    ranks = current_ranks()
    logger.info("Encoding %s of %s image views", f"{len(missing):,}", f"{views:,}")
    with tqdm(desc="encoding", unit="img", total=len(ranks.share(len(missing))), leave=False, disable=None) as bar:
        for start in range(0, len(missing), per_file):
            part = missing[start : start + per_file]
            own = encoded_share(ranks, len(part))
            features = _encode(images(part[own.start : own.stop]), encode, batch_size, workers, bar)
            yield part, gather_shares(features, len(part), ranks)


@torch.no_grad()
def _encode(
    images: Any,
    encode: Callable[[Tensor], Tensor],
    batch_size: int,
    workers: int,
    bar: "tqdm[None]",
) -> Tensor:
    batch_size = min(batch_size, len(images))
    loader: DataLoader[Tensor] = DataLoader(
        images,
        batch_size=batch_size,
        num_workers=min(workers, -(-len(images) // batch_size)),
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )
    encoded = []
    with worker_errors():
        for batch in loader:
            # One image alone rounds differently than beside others, since it goes through other kernels: what is
            # stored must not depend on what else was missing.
            encoded.append(encode(batch if len(batch) > 1 else torch.cat([batch, batch]))[: len(batch)].cpu())
            bar.update(len(batch))
    return torch.cat(encoded)
