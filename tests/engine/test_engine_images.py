"""Reading images; broken ones name their file in one line, from worker processes too."""

import numpy as np
import pytest
from PIL import ExifTags, Image
from torch.utils.data import DataLoader

from lamm.engine.embedded.decoding import ImageError, read_image
from lamm.errors import DataError


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (40, 30), 9).save(path)
    return path


def test_image_is_read_as_rgb(picture):
    image = read_image(str(picture))
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (40, 30), (9, 9, 9))


KINDS = [
    *(("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG")),
    *(("1", "PNG"), ("I;16", "PNG"), ("RGB", "BMP"), ("RGB", "TIFF"), ("P", "GIF"), ("RGB", "WEBP")),
]


@pytest.mark.parametrize(("mode", "kind"), KINDS)
def test_pixels_are_those_of_pillows_conversion(tmp_path, mode, kind):
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # turned by 90 degrees: nobody turns it back
    image = Image.fromarray(values).convert("L").convert("I") if mode == "I;16" else Image.fromarray(values)
    options = {} if kind in ("GIF", "BMP") else {"exif": exif}
    image.convert(mode).save(tmp_path / "a", format=kind, **options)
    with Image.open(tmp_path / "a") as opened:
        expected = opened.convert("RGB")
    read = read_image(str(tmp_path / "a"))
    assert (read.mode, read.size) == ("RGB", expected.size)
    assert read.tobytes() == expected.tobytes()


def test_a_transparent_colour_changes_no_pixel(tmp_path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert read_image(str(tmp_path / "a.png")).getpixel((0, 0)) == (1, 2, 3)


def truncated(path):
    path.write_bytes(path.read_bytes()[:60])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not an image")


def missing(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncated, empty, text, missing])
def test_broken_image_is_one_line_with_the_path(picture, damage):
    damage(picture)
    with pytest.raises(DataError) as error:
        read_image(str(picture))
    assert f'image file "{picture}"' in str(error.value)
    assert "\n" not in str(error.value)


class Paths:
    """A data set of image sizes."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return read_image(self.paths[index]).size


@pytest.mark.parametrize("damage", [truncated, missing])
def test_error_of_a_worker_process_reads_the_same(picture, damage):
    damage(picture)
    with pytest.raises(ImageError) as direct:
        read_image(str(picture))
    batches = iter(DataLoader(Paths([str(picture)]), num_workers=1))
    with pytest.raises(ImageError) as from_worker:
        next(batches)
    batches._shutdown_workers()  # left to the garbage collector, this takes torch five seconds
    assert str(from_worker.value) == str(direct.value)
