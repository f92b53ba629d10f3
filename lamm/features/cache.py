"""Image features in place of images: encoded once, stored, and loaded in batches.

Letters: B images per batch, n images in all, k views of each, E embedding size.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.engine.embedded.decoding import ImageFile
from lamm.engine.embedded.loader import worker_errors
from lamm.engine.embedded.transforms import upright_of
from lamm.errors import ConfigError
from lamm.features.store import FeatureStore, image_identity, space_identity, tower_identity, transform_identity
from lamm.files import sha256_of_file
from lamm.images import image_errors
from lamm.log import logger
from lamm.parallel.ranks import current_ranks
from lamm.parallel.sharing import encoded_share, gather_shares


class FeatureLoader:
    """Stands in for a loader: the same images in the same order, `img` being their features (B, E).

    Args:
        loader: of images; its batch sampler decides on the order, as it would for images.
        features: of the loader's images, by position in its data set, (n, k, E); of several views a batch takes one
            per image, at random.
        device: where the features are held.

    Attributes:
        dataset: of `loader`.
        batch_size: of `loader`.
        features: (n, k, E), on the device.
        labels: (n,), on the device.
    """

    def __init__(self, loader: DataLoader[Any], features: Tensor, device: torch.device) -> None:
        self.dataset: Any = loader.dataset
        self.batch_size = loader.batch_size
        # A loader of positions draws from torch's generator what the loader of images would.
        self._batches: DataLoader[Any] = DataLoader(
            range(len(features)),  # type: ignore[arg-type]
            batch_sampler=loader.batch_sampler,
            collate_fn=torch.tensor,
        )
        self.features = features.to(device)
        data: Any = self.dataset.data_source  # type: ignore[attr-defined]
        self.labels = torch.tensor([item.label for item in data], device=device)
        self._domains = torch.tensor([item.domain for item in data])
        self._paths = [item.impath for item in data]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index in self._batches:
            there = self._there(index)
            views = self.features.shape[1]
            view = torch.randint(views, (len(index),)) if views > 1 else torch.zeros_like(index)
            yield {
                "img": self.features[there, self._there(view)],
                "label": self.labels[there],
                "domain": self._domains[index],
                "index": index,
                "impath": [self._paths[place] for place in index.tolist()],
            }

    def _there(self, places: Tensor) -> Tensor:
        """Places where the features are; a GPU gets them without the program waiting for it."""
        if self.features.device.type != "cuda":
            return places
        return places.pin_memory().to(self.features.device, non_blocking=True)


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
        encode: from images (B, 3, H, W) on the CPU to features (B, E).
        batch_size: B.
        workers: processes that decode.

    Raises:
        DataError: an image can't be read.
    """
    ranks = current_ranks()
    stored = store.read([view.key for view in views]) if ranks.first else {}
    missing = ranks.from_first(list({view.key: view for view in views if view.key not in stored}.values()))
    if missing:
        logger.info("Encoding %s of %s image views", f"{len(missing):,}", f"{len(views):,}")
        with tqdm(desc="encoding", unit="img", total=len(ranks.share(len(missing))), leave=False, disable=None) as bar:
            for start in range(0, len(missing), VIEWS_PER_FILE):
                part = missing[start : start + VIEWS_PER_FILE]
                own = encoded_share(ranks, len(part))
                features = _encode(images(part[own.start : own.stop]), encode, batch_size, workers, bar)
                features = gather_shares(features, len(part), ranks)
                if ranks.first:
                    store.write([view.key for view in part], features)
                    stored.update(zip((view.key for view in part), features, strict=True))
    return ranks.tensor_from_first(torch.stack([stored[view.key] for view in views]) if ranks.first else None)


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
            encoded.append(encode(batch if len(batch) > 1 else torch.cat([batch, batch]))[: len(batch)].float().cpu())
            bar.update(len(batch))
    return torch.cat(encoded)


MOST_GB = 1_000_000
"""What `INPUT.CACHE_GB` stays below: a petabyte."""


def check_cache(options: CfgNode, images: int, embed_dim: int) -> None:
    """Refuse more views than there is room for, before anything is encoded.

    Args:
        options: the INPUT node.
        images: that are trained on.
        embed_dim: E.

    Raises:
        ConfigError: a number of views below 0, a size that is not one, or features larger than INPUT.CACHE_GB.
    """
    views, room = options.CACHE_VIEWS, options.CACHE_GB
    if views < 0 or not 0 < room < MOST_GB:
        raise ConfigError(f"INPUT.CACHE_VIEWS must be 0 or above, and INPUT.CACHE_GB between 0 and {MOST_GB:,}")
    size = images * views * embed_dim * 4e-9
    if size > room:
        raise ConfigError(
            f"INPUT.CACHE_VIEWS {views:,}: so many views of {images:,} images take {size:,.0f} GB, more than "
            f"INPUT.CACHE_GB {room:g}; set it lower"
        )


class FeatureCache:
    """Turns loaders of images into loaders of their features.

    Args:
        cfg: INPUT.CACHE_VIEWS, CACHE_DIR and CACHE_GB say how much is stored and where.
        clip: the model; its image tower runs as it is.
    """

    def __init__(self, cfg: CfgNode, clip: ClipModel) -> None:
        self._cfg, self._clip = cfg, clip
        self._device = clip.logit_scale.device
        self._tower = tower_identity(clip.visual)

    def training_loader(self, loader: DataLoader[Any]) -> FeatureLoader:
        """`INPUT.CACHE_VIEWS` views of each image of a training loader; a batch takes one of them at random."""
        return self._loader(loader, is_train=True, views=self._cfg.INPUT.CACHE_VIEWS)

    def training_images(self, loader: DataLoader[Any], transform: Callable[[Any], Tensor]) -> FeatureLoader:
        """The images of a training loader as `transform`, that of test images, gives them."""
        return self._loader(loader, is_train=False, views=1, transform=transform)

    def test_loader(self, loader: Any) -> Any:
        """The images of a test loader; a loader of features, or of unknown images, is returned unchanged."""
        known = isinstance(loader, DataLoader) and hasattr(loader.dataset, "data_source")
        return self._loader(loader, is_train=False, views=1) if known else loader

    def _loader(
        self, loader: DataLoader[Any], is_train: bool, views: int, transform: Callable[[Any], Tensor] | None = None
    ) -> FeatureLoader:
        cfg, dataset = self._cfg, loader.dataset
        upright, transform = upright_of(cfg), transform or dataset.transform  # type: ignore[attr-defined]
        pixels = transform_identity(cfg.INPUT, is_train, upright)
        space = space_identity(self._tower, self._clip.precision, self._device.type, pixels)
        store = FeatureStore(cache_folder(cfg), space, int(cfg.INPUT.CACHE_GB * 1e9))
        paths = [item.impath for item in dataset.data_source]  # type: ignore[attr-defined]
        features = features_of(
            [View(path, view, image_identity(path, view)) for path in paths for view in range(views)],
            store,
            lambda some: ViewDataset(some, transform, upright),
            lambda images: self._clip.image_features(images.to(self._device)),
            cfg.DATALOADER.TEST.BATCH_SIZE,
            loader.num_workers,
        )
        return FeatureLoader(loader, features.view(len(paths), views, -1), self._device)


def cache_folder(cfg: CfgNode) -> Path:
    """Where features are stored: INPUT.CACHE_DIR, else `lamm/features` in the user's cache folder."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lamm" / "features"
    return Path(os.path.expanduser(cfg.INPUT.CACHE_DIR or usual))
