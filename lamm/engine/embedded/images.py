"""Reading an image file."""

from PIL import Image, UnidentifiedImageError

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
    """Read an image file as RGB.

    Raises:
        ImageError: The file is missing, truncated or not an image; the message is one line with the path.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise ImageError(f'image file "{path}" does not exist; check the data root') from None
    except UnidentifiedImageError:
        raise ImageError(f'image file "{path}" is not an image, or is damaged; replace it') from None
    except Exception as error:  # Pillow's parsers let through whatever a broken file makes them trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f'image file "{path}" can\'t be read ({reason}); replace it') from error
