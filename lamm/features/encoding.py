"""Encoding views that are not kept yet: decoded by workers, encoded in batches, kept as they come."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from lamm.features.store import FeatureStore
from lamm.features.views import View, ViewDataset
from lamm.log import logger
from lamm.parallel.gathering import encoded_share, gather_shares
from lamm.parallel.ranks import current_ranks

# Features that are kept in one file: a run that is killed loses no more than these.
VIEWS_A_FILE = 8192


def features_of(
    views: Sequence[View],
    store: FeatureStore,
    transform: Callable[..., Tensor],
    encode: Callable[[Tensor], Tensor],
    batch_size: int,
    workers: int,
) -> Tensor:
    """The features of views, in their order, from the store or encoded and kept. Shape: (len(views), E), fp32

    Where several processes train together the first one reads and keeps, and each encodes a share of what is missing.

    Args:
        views: what to encode; a view that comes twice is encoded once.
        store: where features are kept.
        transform: of `ViewDataset`.
        encode: from images (B, 3, H, W) on the CPU to features (B, E).
        batch_size: B.
        workers: processes that decode.

    Raises:
        DataError: an image can't be read.
    """
    ranks = current_ranks()
    found = store.read([view.key for view in views]) if ranks.first else {}
    missing = ranks.from_first(list({view.key: view for view in views if view.key not in found}.values()))
    if missing:
        logger.info("Encoding %s of %s image views", f"{len(missing):,}", f"{len(views):,}")
        with tqdm(desc="encoding", unit="img", total=len(ranks.share(len(missing))), leave=False, disable=None) as bar:
            for start in range(0, len(missing), VIEWS_A_FILE):
                part = missing[start : start + VIEWS_A_FILE]
                own = encoded_share(ranks, len(part))
                features = _encode(part[own.start : own.stop], transform, encode, batch_size, workers, bar)
                features = gather_shares(features, len(part), ranks)
                if ranks.first:
                    store.write([view.key for view in part], features)
                    found.update(zip((view.key for view in part), features, strict=True))
    return ranks.tensor_from_first(torch.stack([found[view.key] for view in views]) if ranks.first else None)


@torch.no_grad()
def _encode(
    views: Sequence[View],
    transform: Callable[..., Tensor],
    encode: Callable[[Tensor], Tensor],
    batch_size: int,
    workers: int,
    bar: "tqdm[None]",
) -> Tensor:
    loader: DataLoader[Tensor] = DataLoader(
        ViewDataset(views, transform),
        batch_size=batch_size,
        num_workers=min(workers, -(-len(views) // batch_size)),
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )
    encoded = []
    for images in loader:
        encoded.append(encode(images).float().cpu())
        bar.update(len(images))
    return torch.cat(encoded)
