"""Image features in place of images: encoded once, stored, and loaded in batches.

Letters: B images per batch, n images in all, k views of each, E embedding size; N positions and W width of the image
tower, whose tokens at a cut are stored for trainers that tune what is above it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.engine.embedded.transforms import upright_of
from lamm.errors import ConfigError
from lamm.features.encoding import View, ViewDataset, features_of, tokens_of
from lamm.features.store import (
    FeatureStore,
    StoredRow,
    image_identity,
    space_identity,
    tower_identity,
    transform_identity,
)
from lamm.parallel.ranks import current_ranks
from lamm.parallel.sharing import ImageShare, encoded_share


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
                "img": self._images(index, view),
                "label": self.labels[there],
                "domain": self._domains[index],
                "index": index,
                "impath": [self._paths[place] for place in index.tolist()],
            }

    def _images(self, index: Tensor, view: Tensor) -> Any:
        """What a batch holds of views of images, by their places (B,) each."""
        return self.features[self._there(index), self._there(view)]

    def _there(self, places: Tensor) -> Tensor:
        """Places where the features are; a GPU gets them without the program waiting for it."""
        if self.features.device.type != "cuda":
            return places
        return places.pin_memory().to(self.features.device, non_blocking=True)


class CutViews(NamedTuple):
    """A batch of views at a cut through the image tower.

    Attributes:
        tokens: what the frozen part hands on, fp16, (B, N, W).
        frozen: unit features that the whole frozen tower makes of the same views, (B, E).
    """

    tokens: Tensor
    frozen: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> "CutViews":
        """The same on a device."""
        return CutViews(*(part.to(device, non_blocking=non_blocking) for part in self))


class CutLoader(FeatureLoader):
    """Stands in for a loader: `img` is `CutViews`, or a process's share of them.

    Args:
        loader, features, device: as `FeatureLoader`.
        rows: the stored tokens of all views, image after image; a batch reads its own.
    """

    def __init__(
        self, loader: DataLoader[Any], features: Tensor, rows: Sequence[StoredRow], device: torch.device
    ) -> None:
        super().__init__(loader, features, device)
        self._rows = rows

    def _images(self, index: Tensor, view: Tensor) -> CutViews | ImageShare:
        ranks, whole, views = current_ranks(), len(index), self.features.shape[1]
        own = encoded_share(ranks, len(index))
        index, view = index[own.start : own.stop], view[own.start : own.stop]
        places = (index * views + view).tolist()
        tokens = torch.stack([self._rows[place].read() for place in places])
        cut = CutViews(tokens, super()._images(index, view))
        return ImageShare(cut, whole) if ranks.many else cut


MOST_GB = 1_000_000
"""What `INPUT.CACHE_GB` stays below: a petabyte."""


def check_cache(options: CfgNode, images: int, embed_dim: int, tokens: int = 0) -> None:
    """Refuse more views than there is room for, before anything is encoded.

    Args:
        options: the INPUT node.
        images: that are trained on.
        embed_dim: E; a view has as many features of 4 bytes.
        tokens: N · W at a tower's cut, of 2 bytes each; 0: none are stored.

    Raises:
        ConfigError: a number of views below 0, a size that is not one, or features larger than INPUT.CACHE_GB.
    """
    views, room = options.CACHE_VIEWS, options.CACHE_GB
    if views < 0 or not 0 < room < MOST_GB:
        raise ConfigError(f"INPUT.CACHE_VIEWS must be 0 or above, and INPUT.CACHE_GB between 0 and {MOST_GB:,}")
    size = images * views * (4 * embed_dim + 2 * tokens) * 1e-9
    if size > room:
        raise ConfigError(
            f"INPUT.CACHE_VIEWS {views:,}: so many views of {images:,} images take {size:,.3g} GB, more than "
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

    def cut_loader(self, loader: DataLoader[Any], cut: Callable[[Tensor], Tensor], name: str) -> "CutLoader":
        """The same views as `training_loader`, with the tokens at a cut through the image tower.

        Args:
            loader: of training images.
            cut: from images (B, 3, H, W), where the model is, to tokens (B, N, W).
            name: of the cut.

        Raises:
            ConfigError: the tokens can't be stored, or are not numbers that fp16 has.
        """
        views = self._cfg.INPUT.CACHE_VIEWS
        chosen, store = self._views(loader, views), self._store(True, name)
        rows = tokens_of(
            chosen,
            store,
            lambda some: self._pixels(loader, some),
            lambda images: cut(images.to(self._device)),
            self._cfg.DATALOADER.TEST.BATCH_SIZE,
            loader.num_workers,
        )
        return CutLoader(loader, self.training_loader(loader).features, rows, self._device)

    def test_loader(self, loader: Any) -> Any:
        """The images of a test loader; a loader of features, or of unknown images, is returned unchanged."""
        known = isinstance(loader, DataLoader) and hasattr(loader.dataset, "data_source")
        return self._loader(loader, is_train=False, views=1) if known else loader

    def photos(
        self, paths: Sequence[str], transform: Callable[[Any], Tensor], views: int = 0, workers: int = 0
    ) -> Tensor:
        """Features of files, of which there is no loader. Shape: (n, k, E)

        Args:
            paths: of the files.
            transform: that of training images or, without `views`, of test images.
            views: k; 0: one, as test images are seen.
            workers: processes that decode.

        Raises:
            DataError: a file can't be read.
        """
        count = max(views, 1)
        chosen = [View(path, view, image_identity(path, view)) for path in paths for view in range(count)]
        features = features_of(
            chosen,
            self._store(views > 0),
            lambda some: ViewDataset(some, transform, upright_of(self._cfg)),
            lambda images: self._clip.image_features(images.to(self._device)),
            self._cfg.DATALOADER.TEST.BATCH_SIZE,
            workers,
        )
        return features.view(len(paths), count, -1)

    def _loader(
        self, loader: DataLoader[Any], is_train: bool, views: int, transform: Callable[[Any], Tensor] | None = None
    ) -> FeatureLoader:
        chosen = self._views(loader, views)
        features = features_of(
            chosen,
            self._store(is_train),
            lambda some: self._pixels(loader, some, transform),
            lambda images: self._clip.image_features(images.to(self._device)),
            self._cfg.DATALOADER.TEST.BATCH_SIZE,
            loader.num_workers,
        )
        return FeatureLoader(loader, features.view(len(chosen) // views, views, -1), self._device)

    def _store(self, is_train: bool, cut: str = "") -> FeatureStore:
        """Where features of training or test images lie; those at a cut lie apart."""
        cfg = self._cfg
        pixels = transform_identity(cfg.INPUT, is_train, upright_of(cfg))
        space = space_identity(self._tower + cut, self._clip.precision, self._device.type, pixels)
        return FeatureStore(cache_folder(cfg), space, int(cfg.INPUT.CACHE_GB * 1e9))

    def _views(self, loader: DataLoader[Any], views: int) -> list[View]:
        """So many views of each of a loader's images, image after image."""
        paths = [item.impath for item in loader.dataset.data_source]  # type: ignore[attr-defined]
        return [View(path, view, image_identity(path, view)) for path in paths for view in range(views)]

    def _pixels(
        self, loader: DataLoader[Any], views: Sequence[View], transform: Callable[[Any], Tensor] | None = None
    ) -> ViewDataset:
        transform = transform or loader.dataset.transform  # type: ignore[attr-defined]
        return ViewDataset(views, transform, upright_of(self._cfg))


def cache_folder(cfg: CfgNode) -> Path:
    """Where features are stored: INPUT.CACHE_DIR, else `lamm/features` in the user's cache folder."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lamm" / "features"
    return Path(os.path.expanduser(cfg.INPUT.CACHE_DIR or usual))
