"""Damaged archives, and archives that could do harm."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.errors import DataError
from lamm.preparing.archives import clean_path, entries
from lamm.preparing.prepare import Preparation
from tests.preparing.dataset_archives import MAKERS, classes_of_photos, jpeg, photos, small_source, tar, targz, zipped

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


EVIL_NAMES = {
    "/2750/Forest/evil.jpg": "has an absolute path",
    "2750/../../../evil.jpg": "leads out of the folder",
    "2750/Forest/../../../../evil.jpg": "leads out of the folder",
    "C:/2750/evil.jpg": "has an absolute path",
    "2750\\..\\..\\evil.jpg": "holds a character",
}


def refused_archive(archive: Path, tmp_path: Path, match: str) -> None:
    """The archive is refused with one line, and nothing is on the disk that was not."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=match) as caught:
        Preparation(small_source("eurosat"), tmp_path / "data").run([archive])
    assert "\n" not in str(caught.value)
    after = sorted(path for path in tmp_path.rglob("*") if path != tmp_path / "data")
    assert after == before


@pytest.mark.parametrize(("name", "reason"), EVIL_NAMES.items())
@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_path_that_leaves_the_folder(
    name: str, reason: str, pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    (tmp_path / "EuroSAT").write_bytes(pack({**GOOD, name: b"evil"}))
    refused_archive(tmp_path / "EuroSAT", tmp_path, reason)


def tar_with(member: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in GOOD.items():
            good = tarfile.TarInfo(name)
            good.size = len(content)
            archive.addfile(good, io.BytesIO(content))
        archive.addfile(member)
    return out.getvalue()


def member(kind: bytes, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo("2750/Forest/evil.jpg")
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (member(tarfile.SYMTYPE, "/etc/passwd"), "a link"),
        (member(tarfile.SYMTYPE, "Forest_1.jpg"), "a link"),
        (member(tarfile.LNKTYPE, "../../../etc/passwd"), "a link"),
        (member(tarfile.CHRTYPE), "a device"),
        (member(tarfile.BLKTYPE), "a device"),
        (member(tarfile.FIFOTYPE), "a device"),
    ],
)
def test_links_and_devices_in_a_tar_archive(made: tarfile.TarInfo, what: str, tmp_path: Path) -> None:
    (tmp_path / "EuroSAT.tar").write_bytes(tar_with(made))
    refused_archive(tmp_path / "EuroSAT.tar", tmp_path, f"EuroSAT.tar holds {what}, '2750/Forest/evil.jpg'")


def test_a_link_in_a_zip_archive(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("2750/Forest/evil.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "EuroSAT.zip", "w") as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
        archive.writestr(link, "/etc/passwd")
    refused_archive(tmp_path / "EuroSAT.zip", tmp_path, r"EuroSAT\.zip holds a link")


def test_an_evil_path_in_an_archive_within_an_archive(tmp_path: Path) -> None:
    inner = tar({"101_ObjectCategories/accordion/image_0001.jpg": jpeg(), "../../evil.jpg": b"evil"}, "w:gz")
    file = tmp_path / "caltech-101.zip"
    file.write_bytes(zipped({"caltech-101/101_ObjectCategories.tar.gz": inner}))
    with pytest.raises(DataError, match=r"101_ObjectCategories\.tar\.gz is refused: its entry '\.\./\.\./evil\.jpg'"):
        Preparation(small_source("caltech101"), tmp_path / "data").run([file])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["caltech-101.zip", "data"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("2750/" + "a/" * 1500 + "evil.jpg", "too many folders"), ("2750/Forest/\udcff.jpg", "not UTF-8")],
)
def test_a_path_that_not_every_disk_takes(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "EuroSAT.tar").write_bytes(tar({**GOOD, name: b"evil"}))
    refused_archive(tmp_path / "EuroSAT.tar", tmp_path, reason)


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "EuroSAT.tar").write_bytes(tar({**GOOD, "2750/Forest/a": b"", "2750/Forest/a/b": b""}))
    refused_archive(tmp_path / "EuroSAT.tar", tmp_path, "twice, or as a folder")


def test_a_bomb_beside_the_data_set_is_not_unpacked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamm.preparing.archives.ALWAYS_ALLOWED_BYTES", 10**5)
    (tmp_path / "EuroSAT.tar.bz2").write_bytes(tar({"unrelated": bytes(10**7), **GOOD}, "w:bz2"))
    refused_archive(tmp_path / "EuroSAT.tar.bz2", tmp_path, "unpacks to more than 200 times its own size")


def test_a_million_empty_files_are_a_bomb_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamm.preparing.archives.ALWAYS_ALLOWED_BYTES", 10**5)
    monkeypatch.setattr("lamm.preparing.archives.GREATEST_RATIO", 2)
    (tmp_path / "EuroSAT.tar").write_bytes(tar({**GOOD, **{f"2750/Forest/{n}.jpg": b"" for n in range(500)}}))
    refused_archive(tmp_path / "EuroSAT.tar", tmp_path, "times its own size")


def test_the_header_of_an_entry_is_not_read_whatever_its_size(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 10**8
    (tmp_path / "EuroSAT.tar.gz").write_bytes(gzip.compress(header.tobuf() + bytes(10**8), 1))
    refused_archive(tmp_path / "EuroSAT.tar.gz", tmp_path, r"a header of 100,000,000 bytes")


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamm.preparing.archives.ALWAYS_ALLOWED_BYTES", 10**5)
    file = tmp_path / "EuroSAT.zip"
    file.write_bytes(zipped({**GOOD, "2750/Forest/bomb.jpg": bytes(10**7)}))
    refused_archive(file, tmp_path, "unpacks to more than 200 times its own size")


def test_a_bomb_is_stopped_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamm.preparing.archives.LEAST_FREE_BYTES", 10**18)
    file = tmp_path / "EuroSAT.zip"
    file.write_bytes(zipped(GOOD))
    refused_archive(file, tmp_path, r"no space for what EuroSAT\.zip holds: [\d,]+ bytes are free")


def test_the_same_file_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "EuroSAT.zip", "w") as archive:
        archive.writestr("2750/Forest/Forest_1.jpg", jpeg(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("2750/Forest/Forest_1.jpg", jpeg(2))
    refused_archive(tmp_path / "EuroSAT.zip", tmp_path, r"holds '2750/Forest/Forest_1\.jpg' twice")


def test_an_encrypted_archive(tmp_path: Path) -> None:
    content = bytearray(zipped({"2750/Forest/Forest_1.jpg": jpeg()}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    (tmp_path / "EuroSAT.zip").write_bytes(content)
    refused_archive(tmp_path / "EuroSAT.zip", tmp_path, "is encrypted")


def test_an_inner_archive_whose_first_byte_is_wrong(tmp_path: Path) -> None:
    content = bytearray(MAKERS["caltech101"]()["caltech-101.zip"])
    content[content.index(b"\x1f\x8b")] ^= 1
    file = tmp_path / "caltech-101.zip"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged or cut off"):
        Preparation(small_source("caltech101"), tmp_path / "data").run([file])


def test_a_python_without_the_data_filter_says_which_one_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter")
    (tmp_path / "EuroSAT.tar").write_bytes(tar(GOOD))
    refused_archive(tmp_path / "EuroSAT.tar", tmp_path, r"use Python 3\.10\.12, 3\.11\.4, 3\.12 or later")


def test_clean_paths_lose_only_dots_and_doubled_slashes() -> None:
    assert clean_path("./a//b/./c d.jpg", "x.tar") == "a/b/c d.jpg"
    assert clean_path("a/..b/c..jpg", "x.tar") == "a/..b/c..jpg"
    with pytest.raises(DataError, match="holds a character"):
        clean_path("a\0b", "x.tar")
