"""Reading an image file."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from lamm.errors import DataError


class ImageError(DataError):
    """An image that is missing or broken.

    A data loader rebuilds an exception of its worker process by calling the class with the worker's whole
    traceback; the constructor keeps the traceback's last line, this class's own message.
    """

    def __init__(self, message: str) -> None:
        if message.startswith("Caught "):
            message = message.rpartition(f"{type(self).__name__}: ")[2].strip()
        super().__init__(message)


def read_image(path: str) -> Image.Image:
    """Read an image file as RGB; the pixels are those of Pillow's `convert("RGB")`.

    Raises:
        ImageError: The file is missing, truncated or not an image; the message is one line with the path.
    """
    with image_errors(path), Image.open(path) as image:
        return as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """An opened image as RGB, loaded.

    `convert` copies an image that is RGB already, which costs as much as decoding when it is a large one; of the
    two formats that most photos have, the loaded image itself serves as well.
    """
    if image.mode == "RGB" and isinstance(image, JpegImageFile | PngImageFile):
        image.load()
        return image
    return image.convert("RGB")


@contextmanager
def image_errors(path: str) -> Iterator[None]:
    """Turn whatever a missing or broken image file makes Pillow raise into one line.

    Raises:
        ImageError: In place of the exception.
    """
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f'image file "{path}" does not exist; check the data root') from None
    except UnidentifiedImageError:
        raise ImageError(f'image file "{path}" is not an image, or is damaged; replace it') from None
    except Exception as error:  # Pillow's parsers let through whatever a broken file makes them trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f'image file "{path}" can\'t be read ({reason}); replace it') from error
