"""Cached image features for the trainers that leave the image tower alone (`lamm.features`)."""

import os
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.errors import ConfigError
from lamm.features.encoding import features_of
from lamm.features.identity import image_identity, space_identity, tower_identity, transform_identity
from lamm.features.loader import FeatureLoader
from lamm.features.store import FeatureStore
from lamm.features.views import View


class FeatureCache:
    """Turns loaders of images into loaders of their features.

    Args:
        cfg: INPUT.CACHE_VIEWS, CACHE_DIR and CACHE_GB say how much is kept and where.
        clip: the model; its image tower runs as it is.

    Raises:
        ConfigError: a number of views below 0, or a size that is not above 0.
    """

    def __init__(self, cfg: CfgNode, clip: ClipModel) -> None:
        if cfg.INPUT.CACHE_VIEWS < 0 or cfg.INPUT.CACHE_GB <= 0:
            raise ConfigError("INPUT.CACHE_VIEWS must be 0 or above, and INPUT.CACHE_GB above 0")
        self._cfg, self._clip = cfg, clip
        self._device = clip.logit_scale.device
        self._tower = tower_identity(clip.visual)

    def training_loader(self, loader: DataLoader[Any]) -> FeatureLoader:
        """`INPUT.CACHE_VIEWS` views of each image of a training loader; a batch takes one of them at random."""
        return self._loader(loader, is_train=True, views=self._cfg.INPUT.CACHE_VIEWS)

    def test_loader(self, loader: Any) -> Any:
        """The images of a test loader; one whose images can't be told, or that is one of features, stays as it is."""
        known = isinstance(loader, DataLoader) and hasattr(loader.dataset, "data_source")
        return self._loader(loader, is_train=False, views=1) if known else loader

    def _loader(self, loader: DataLoader[Any], is_train: bool, views: int) -> FeatureLoader:
        cfg, dataset = self._cfg, loader.dataset
        transform = transform_identity(cfg.INPUT, is_train)
        space = space_identity(self._tower, self._clip.precision, self._device.type, transform)
        store = FeatureStore(cache_folder(cfg), space, int(cfg.INPUT.CACHE_GB * 1e9))
        paths = [item.impath for item in dataset.data_source]  # type: ignore[attr-defined]
        features = features_of(
            [View(path, image_identity(path, view)) for path in paths for view in range(views)],
            store,
            dataset.transform,  # type: ignore[attr-defined]
            lambda images: self._clip.image_features(images.to(self._device)),
            cfg.DATALOADER.TEST.BATCH_SIZE,
            loader.num_workers,
        )
        return FeatureLoader(loader, features.view(len(paths), views, -1), self._device)


def cache_folder(cfg: CfgNode) -> Path:
    """Where features are kept: INPUT.CACHE_DIR, else `lamm/features` in the user's cache folder."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lamm" / "features"
    return Path(cfg.INPUT.CACHE_DIR or usual).expanduser()
