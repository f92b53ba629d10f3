"""Archives that are cut off, damaged, or none at all: one line, and nothing left behind."""

import gzip
from pathlib import Path

import pytest

from lamm.errors import DataError
from lamm.preparing.archives import entries
from lamm.preparing.prepare import Preparation
from tests.preparing.dataset_archives import classes_of_photos, photos, tar, targz, zipped
from tests.preparing.small_sources import small_source

GOOD = classes_of_photos("2750/{name}/{name}_{}.jpg", ["AnnualCrop", "Forest"])


def refused(content: bytes, tmp_path: Path, match: str) -> None:
    file = tmp_path / "EuroSAT.zip"
    file.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        Preparation(small_source("eurosat"), tmp_path / "data").run([file])
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["EuroSAT.zip", "data"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_archive_that_is_cut_off(mode: str, share: float, tmp_path: Path) -> None:
    content = tar(GOOD, mode)
    refused(content[: int(share * len(content))], tmp_path, r"EuroSAT\.zip is damaged or cut off")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_tar_archive_that_is_cut_off(share: float, tmp_path: Path) -> None:
    content = tar(GOOD).rstrip(b"\0")
    refused(content[: int(share * len(content))], tmp_path, r"EuroSAT\.zip is damaged or cut off")


def test_a_tar_archive_that_is_cut_off_between_two_files_lacks_images(tmp_path: Path) -> None:
    refused(tar(dict(list(GOOD.items())[:-1])).rstrip(b"\0"), tmp_path, "damaged or cut off|7 of at least 8 images")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_zip_archive_that_is_cut_off(share: float, tmp_path: Path) -> None:
    content = zipped(GOOD)
    refused(content[: int(share * len(content))], tmp_path, r"EuroSAT\.zip is cut off")


def test_a_changed_byte_in_a_zip_archive_is_noticed(tmp_path: Path) -> None:
    content = bytearray(zipped(GOOD))
    content[len(content) // 3] ^= 0xFF
    refused(bytes(content), tmp_path, "damaged or cut off")


def test_a_wrong_check_sum_at_the_end_of_gzip_is_noticed(tmp_path: Path) -> None:
    content = bytearray(targz(GOOD))
    content[-8] ^= 0xFF
    refused(bytes(content), tmp_path, r"damaged or cut off \(CRC check failed")


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    content = bytearray(tar(GOOD))
    content[content.index(b"2750/Forest/Forest_3.jpg") + 150] ^= 0xFF
    refused(bytes(content), tmp_path, "damaged or cut off")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "it is a web page"),
        (b"\n <html>", "it is a web page"),
        (b"Not found" * 100, "neither tar nor zip"),
    ],
)
def test_what_is_no_archive(content: bytes, what: str, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"x is not an archive: {what}"):
        list(entries(file))


def test_a_gzip_file_of_something_else(tmp_path: Path) -> None:
    refused(gzip.compress(b"some text" * 1000), tmp_path, "damaged or cut off")


def test_an_inner_archive_that_is_cut_off(tmp_path: Path) -> None:
    inner = targz(photos("101_ObjectCategories/accordion/image_{:04d}.jpg", 12))
    file = tmp_path / "caltech-101.zip"
    file.write_bytes(zipped({"caltech-101/101_ObjectCategories.tar.gz": inner[:-50]}))
    with pytest.raises(DataError, match=r"101_ObjectCategories\.tar\.gz is damaged or cut off"):
        Preparation(small_source("caltech101"), tmp_path / "data").run([file])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["caltech-101.zip", "data"]
