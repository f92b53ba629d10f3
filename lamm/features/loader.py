"""Batches of kept features, in place of a loader of images.

Letters: B images a batch, n images in all, k views of each, E embedding size.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader


class FeatureLoader:
    """Stands in for a loader: the same images in the same order, `img` being their features (B, E).

    Args:
        loader: of images; its batch sampler decides on the order, as it would for images.
        features: of the loader's images, by position in its data set, (n, k, E); of several views each batch takes one
            an image, at random.
        device: where the features are kept.

    Attributes:
        dataset: of `loader`.
        batch_size: of `loader`.
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
        self._features = features.to(device)
        data: Any = self.dataset.data_source  # type: ignore[attr-defined]
        self._labels = torch.tensor([item.label for item in data], device=device)
        self._domains = torch.tensor([item.domain for item in data])
        self._paths = [item.impath for item in data]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for index in self._batches:
            there = self._there(index)
            views = self._features.shape[1]
            view = torch.randint(views, (len(index),)) if views > 1 else torch.zeros_like(index)
            yield {
                "img": self._features[there, self._there(view)],
                "label": self._labels[there],
                "domain": self._domains[index],
                "index": index,
                "impath": [self._paths[place] for place in index.tolist()],
            }

    def _there(self, places: Tensor) -> Tensor:
        """Places where the features are; a GPU gets them without the program waiting for it."""
        if self._features.device.type != "cuda":
            return places
        return places.pin_memory().to(self._features.device, non_blocking=True)
