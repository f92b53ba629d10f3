"""Image files: which are read, what their pixels become, and what can't be read in one line."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw

from lamm import images as images_module
from lamm.images import (
    DEEP,
    IMAGE_SUFFIXES,
    MEASURED,
    TRANSPARENT,
    ImageError,
    as_rgb,
    begin_notices,
    is_image_name,
    opened,
    read_image,
    readable_formats,
    unreadable_line,
)
from tests.pictures import noise

LEVELS = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def grey(path: Path) -> np.ndarray:
    """The grey values of a file, as it is read."""
    pixels = np.array(read_image(path))
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def deep_images() -> dict[str, Image.Image]:
    """The same levels in more than eight bits, by a file name that such an image is written to."""
    sixteen = LEVELS.astype(np.uint16) * 257
    return {
        "a.png": Image.fromarray(sixteen),
        "a.tif": Image.fromarray(sixteen),
        "a.pgm": Image.fromarray(sixteen),
        "a.jp2": Image.fromarray(sixteen),
        "big endian.tif": Image.fromarray(sixteen.astype(">u2")),
        "float.tif": Image.fromarray((LEVELS / 255).astype(np.float32)),
        "float.pfm": Image.fromarray((LEVELS / 255).astype(np.float32)),
        "float of any range.tif": Image.fromarray((LEVELS * 3.0 - 100).astype(np.float32)),
        "int.tif": Image.fromarray(LEVELS.astype(np.int32) * 1000 - 7),
    }


@pytest.mark.parametrize("name", list(deep_images()))
def test_more_than_eight_bits_are_scaled_not_cut_off(tmp_path: Path, name: str) -> None:
    deep_images()[name].save(tmp_path / name)
    assert np.abs(grey(tmp_path / name).astype(int) - LEVELS).max() <= 1


def test_values_that_are_no_numbers_are_black_and_a_constant_image_is_one_colour(tmp_path: Path) -> None:
    values = np.array([[np.nan, 0.0, 1.0, np.inf]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert grey(tmp_path / "a.tif").tolist() == [[0, 0, 255, 255]]
    Image.fromarray(np.full((2, 2), 7.5, dtype=np.float32)).save(tmp_path / "b.tif")
    assert len(set(grey(tmp_path / "b.tif").flat)) == 1
    Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)).save(tmp_path / "c.tif")
    assert len(set(grey(tmp_path / "c.tif").flat)) == 1


def half_transparent() -> Image.Image:
    """Red and opaque on the left, black and transparent on the right."""
    image = Image.new("RGBA", (8, 4), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, 4, 4))
    return image


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.gif", "palette.png"])
def test_transparent_pixels_are_white(tmp_path: Path, name: str) -> None:
    image = half_transparent()
    if "palette" in name:
        image = image.quantize()
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    read = read_image(tmp_path / name)
    assert (read.mode, read.getpixel((0, 0)), read.getpixel((7, 0))) == ("RGB", RED, WHITE)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "I;16"])
def test_a_transparent_colour_is_white_too(tmp_path: Path, mode: str) -> None:
    image = Image.new("L", (2, 1)).convert("I;16") if mode == "I;16" else Image.new(mode, (2, 1))
    image.putpixel((1, 0), {"RGB": WHITE, "I;16": 65535}.get(mode, 255))
    image.save(tmp_path / "a.png", transparency=BLACK if mode == "RGB" else 0)
    assert read_image(tmp_path / "a.png").getpixel((0, 0)) == WHITE


def test_grey_with_transparency_is_between_itself_and_white(tmp_path: Path) -> None:
    Image.new("LA", (1, 1), (0, 128)).save(tmp_path / "a.png")
    assert grey(tmp_path / "a.png").tolist() == [[127]]


def test_opaque_pixels_are_those_of_pillows_conversion(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    noise[..., 3] = 255
    Image.fromarray(noise).save(tmp_path / "a.png")
    assert np.array_equal(np.array(read_image(tmp_path / "a.png")), noise[..., :3])


def test_what_changes_pixels_is_said_once(tmp_path: Path, log_lines: list[str]) -> None:
    begin_notices()
    half_transparent().save(tmp_path / "a.png")
    deep_images()["a.png"].save(tmp_path / "b.png")
    for name in ("a.png", "b.png", "a.png"):
        read_image(tmp_path / name)
    assert [line.split(",")[0] for line in log_lines] == [
        "Images with transparent pixels are put on white",
        "Images of 16 bits",
    ]
    notices: list[str] = []
    deep_images()["int.tif"].save(tmp_path / "c.tif")
    for name in ("a.png", "b.png", "c.tif"):
        with opened(tmp_path / name) as image:
            as_rgb(image, say=notices.append)
    assert notices == [TRANSPARENT, DEEP, MEASURED]


def photo(mark: tuple[int, int] = (0, 0)) -> Image.Image:
    """Wider than high, with a white corner."""
    image = Image.new("RGB", (48, 32))
    ImageDraw.Draw(image).rectangle((*mark, mark[0] + 15, mark[1] + 15), fill="white")
    return image


# EXIF orientation → where the corner that is stored at the top left belongs: left or right, top or bottom.
CORNERS = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}


@pytest.mark.parametrize("orientation", list(CORNERS))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.avif"])
def test_photos_are_turned_as_exif_says_when_asked(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    photo().save(tmp_path / name, exif=exif)
    read = read_image(tmp_path / name, upright=True)
    assert read.size == ((32, 48) if orientation > 4 else (48, 32))
    right, low = CORNERS[orientation]
    assert read.getpixel((read.width - 4 if right else 3, read.height - 4 if low else 3))[0] > 200
    if name != "a.avif":
        assert np.array_equal(np.array(read_image(tmp_path / name)), np.array(Image.open(tmp_path / name)))


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_uncompressed_tiff_is_turned_whole(tmp_path: Path, mode: str, orientation: int) -> None:
    values = np.arange(8, dtype=np.uint16).reshape(2, 4) * 30
    eight = Image.fromarray(values.astype(np.uint8))
    stored = Image.fromarray(values * 257) if mode == "I;16" else eight.convert(mode)
    stored.save(tmp_path / "a.tif", tiffinfo={ExifTags.Base.Orientation: orientation})
    turned = {1: values, 3: values[::-1, ::-1], 6: np.rot90(values, -1)}[orientation]
    assert np.array_equal(grey(tmp_path / "a.tif"), turned)


def test_in_a_deep_tiff_white_can_be_zero(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert grey(tmp_path / "a.tif").tolist() == [[255, 0]]


def test_broken_exif_data_turns_nothing(tmp_path: Path) -> None:
    for number, exif in enumerate(
        [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0", b"junk", b"Exif\0\0II*\0\xff\xff\xff\xff"]
    ):
        photo().save(tmp_path / f"{number}.jpg", exif=exif)
        assert read_image(tmp_path / f"{number}.jpg", upright=True).size == (48, 32)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 99
    photo().save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", upright=True).size == (48, 32)


def test_the_first_picture_of_an_animation_is_read(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLACK)
    for name in ("a.gif", "a.png", "a.webp", "a.tif", "a.mpo"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert read_image(tmp_path / name).getpixel((4, 4))[0] > 240


@pytest.mark.parametrize("mode", ["1", "CMYK", "YCbCr", "LAB"])
def test_other_colours_are_read(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (8, 8), WHITE)
    (Image.new("LAB", (8, 8), (255, 128, 128)) if mode == "LAB" else image.convert(mode)).save(tmp_path / "a.tif")
    assert min(read_image(tmp_path / "a.tif").getpixel((4, 4))) > 240


def test_every_format_has_its_endings_and_nothing_hidden_is_an_image() -> None:
    assert {".jpg", ".heic", ".heics", ".jxl", ".avif", ".avifs", ".j2c", ".dng", ".srw"} < set(IMAGE_SUFFIXES)
    assert is_image_name("a.HEIC")
    assert not is_image_name(".a.jpg")
    assert not is_image_name("a.txt")


def test_files_without_a_decoder_are_counted_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "readable_formats", lambda: ("JPEG", "PNG"))
    assert unreadable_line(["a.jpg", "b", "c.png"]) == ""
    assert (
        unreadable_line(["a.HEIC", "b/c.heic"]) == "2 files are not readable here: HEIC needs `pip install pillow-heif`"
    )
    line = unreadable_line(["a.avif", "a.dng"])
    assert line.startswith("2 files are not readable here: AVIF needs `pip install -U pillow`, DNG needs a conversion")


@pytest.mark.parametrize(("suffix", "module"), [(".heic", "pillow_heif"), (".jxl", "pillow_jxl")])
def test_plugins_that_are_installed_are_used(tmp_path: Path, suffix: str, module: str) -> None:
    pytest.importorskip(module)
    readable_formats()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo().save(tmp_path / f"a{suffix}", exif=exif.tobytes())
    read = read_image(tmp_path / f"a{suffix}", upright=True)
    assert read.size == (32, 48)
    assert read.getpixel((28, 4))[0] > 200


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(/tmp/x) (w) file\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["a.eps", "a.jpg"])
def test_no_program_is_started_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was asked"))
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(ImageError, match=r"a\.(eps|jpg)"):
        read_image(tmp_path / name)


def png_of_size(width: int, height: int) -> bytes:
    """The beginning of a PNG that says it has this size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "said"),
    [((60_000, 60_000), "exceeds limit"), ((100_000, 1), "too long and narrow"), ((1, 20_000), "too long and narrow")],
)
def test_an_image_that_would_take_gigabytes_is_one_line(tmp_path: Path, size: tuple[int, int], said: str) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(*size))
    with pytest.raises(ImageError, match=said) as error:
        read_image(tmp_path / "a.png")
    assert f'image file "{tmp_path / "a.png"}"' in str(error.value)
    assert len(str(error.value)) < 500


def test_a_damaged_file_of_any_format_is_one_line(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.gif", "a.bmp", "a.ppm", "a.tif", "a.webp", "a.jp2", "a.avif"):
        noise(40, 30).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 3])
        with pytest.raises(ImageError, match=name) as error:
            read_image(tmp_path / name, upright=True)
        assert "\n" not in str(error.value)
