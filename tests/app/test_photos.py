"""Files that are dropped on the page: what is taken, and what is refused with a line."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lamm.app import photos
from lamm.app.photos import shown_name, store_photo, thumbnail_of
from lamm.errors import DataError


def encoded(size: tuple[int, int] = (400, 300), kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind, **options)
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A PNG file that says so many pixels, and has few bytes."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("../../evil.jpg", encoded())
    return buffer.getvalue()


def test_a_photo_is_stored_as_it_is_under_the_name_of_its_content(tmp_path: Path) -> None:
    content = encoded()
    file = store_photo(content, "../../etc/my cat.PNG", tmp_path)
    assert file.endswith(".jpg")
    assert (tmp_path / "photos" / file).read_bytes() == content
    assert store_photo(content, "another name.jpg", tmp_path) == file
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "thumbnails"]
    with Image.open(thumbnail_of(tmp_path, file)) as thumbnail:
        assert thumbnail.size == (256, 192)


def test_a_thumbnail_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = store_photo(encoded(exif=exif), "phone.jpg", tmp_path)
    with Image.open(thumbnail_of(tmp_path, file)) as thumbnail:
        assert thumbnail.height > thumbnail.width


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive(), "archive"),
        (b"\x1f\x8b\x08" + b"\0" * 99, "archive"),
        (b"\0" * 257 + b"ustar\x0000", "archive"),
        (png_of(30_000, 30_000), "pixels"),
        (png_of(12_000, 12_000), "pixels"),
        (encoded()[:2000], "can't be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file", "not an image"),
        (b"", "not an image"),
    ],
    ids=["zip", "gzip", "tar", "bomb", "large", "truncated", "svg", "eps", "empty"],
)
def test_what_is_not_a_photo_is_one_line_and_leaves_nothing(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        store_photo(content, "<img src=x onerror=alert(1)>.jpg", tmp_path)
    assert "\n" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_that_is_too_large_is_refused_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGEST_FILE", 1 << 20)
    with pytest.raises(DataError, match="1 MiB"):
        store_photo(encoded() + b"\0" * (1 << 20), "a.jpg", tmp_path)


def test_a_shown_name_is_one_line_without_folders() -> None:
    assert shown_name("..\\..\\C:/x/ca\nt.jpg") == "ca\\nt.jpg"
    assert shown_name("a/b/") == "photo"
    assert len(shown_name("x" * 999 + ".jpg")) == 100
