"""A pipeline of transforms that says how it wants its images read, and a file that is read so."""

from functools import cached_property
from typing import Any

from PIL import Image
from torchvision import transforms as T

from lamm.engine.embedded.images import read_image
from lamm.engine.embedded.photo import Photo


class Pipeline(T.Compose):
    """torchvision's `Compose`, from an image to a tensor.

    Args:
        transforms: Its steps.
        decodes: The first step decodes image files itself (`INPUT.DECODING fast`). A PIL image is taken all the same.
    """

    def __init__(self, transforms: list[Any], decodes: bool = False) -> None:
        super().__init__(transforms)
        self.decodes = decodes


class ImageFile:
    """An image file that is read once for several transforms.

    Args:
        path: Of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def opened_for(self, transform: Any) -> Any:
        """What a transform takes at its best speed: `photo`, or `image`, as for any foreign transform.

        Raises:
            ImageError: The file is missing or broken.
        """
        return self.photo if getattr(transform, "decodes", False) else self.image

    @cached_property
    def image(self) -> Image.Image:
        """The decoded image."""
        return read_image(self._path)

    @cached_property
    def photo(self) -> Photo:
        """The image, its pixels not decoded yet."""
        return Photo(self._path)
