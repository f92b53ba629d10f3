"""Photos for the tests: squares of one colour, and files that are none."""

from pathlib import Path

from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def photo(path: Path, colour: tuple[int, int, int] = RED, side: int = 8) -> str:
    """Write a square; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path, "PNG")
    return str(path)


def no_photo(path: Path, content: bytes = b"not an image") -> str:
    """Write a file that can't be read as an image; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def cut_short(path: Path) -> str:
    """Write a JPEG that ends too early; its path."""
    Image.effect_noise((64, 64), 90).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-400])
    return str(path)
