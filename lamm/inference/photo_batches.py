"""Batches of photos, decoded by worker processes; a photo that can't be read is a value, not an error.

Letters: B photos of a batch that could be read, H height, W width.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lamm.engine.embedded.pipeline import ImageFile
from lamm.errors import DataError


class PhotoBatch(NamedTuple):
    """What became of the next photos.

    Attributes:
        places: of those that could be read, in the list of paths.
        images: (B, 3, H, W); None if there is none.
        reasons: place of a photo that could not be read → why, one line.
    """

    places: list[int]
    images: Tensor | None
    reasons: dict[int, str]


class PhotoFiles(Dataset[tuple[int, Tensor | str]]):
    """Item i is (i, image (3, H, W)), or (i, the reason why there is none).

    Args:
        paths: of the files.
        transform: from an image, as `ImageFile.opened_for` opens it for this transform, to a tensor.
    """

    def __init__(self, paths: Sequence[str], transform: Callable[[Any], Tensor]) -> None:
        self._paths, self._transform = list(paths), transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[int, Tensor | str]:
        path = self._paths[place]
        if os.path.exists(path) and not os.path.isfile(path):
            return place, f'"{path}" is not a file'  # a pipe would be waited for
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a large photo, or odd metadata
                return place, self._transform(ImageFile(path).opened_for(self._transform))
        except DataError as error:
            return place, str(error)
        except Exception as error:  # whatever one file makes a decoder do, the others are classified
            reason = " ".join(str(error).split()) or type(error).__name__
            return place, f'image file "{path}" can\'t be used ({reason})'


def photo_batches(
    paths: Sequence[str], transform: Callable[[Any], Tensor], batch_size: int, workers: int
) -> Iterator[PhotoBatch]:
    """All photos, in their order.

    Args:
        paths: of the files.
        transform: of `PhotoFiles`.
        batch_size: photos a batch, readable or not.
        workers: processes that decode; 0: this one.
    """
    yield from DataLoader(
        PhotoFiles(paths, transform),
        batch_size=batch_size,
        num_workers=min(workers, -(-len(paths) // batch_size)),
        collate_fn=_together,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


def _together(items: list[tuple[int, Tensor | str]]) -> PhotoBatch:
    images = {place: value for place, value in items if isinstance(value, Tensor)}
    reasons = {place: value for place, value in items if isinstance(value, str)}
    return PhotoBatch(list(images), torch.stack(list(images.values())) if images else None, reasons)
