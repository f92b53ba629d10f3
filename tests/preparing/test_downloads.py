"""Downloads: resumed, checked, and told exactly when they fail. A local server stands in for the network."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from urllib.request import Request

import pytest

from lamm.errors import DataError
from lamm.preparing.download import DownloadError, _SafeRedirects, download
from lamm.preparing.prepare import Preparation
from tests.preparing.dataset_archives import MAKERS, small_source, write_archives
from tests.preparing.file_server import FileServer

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole(server: FileServer, tmp_path: Path) -> None:
    server.files = {"a.zip": CONTENT}
    assert download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5).read_bytes() == CONTENT
    assert left(tmp_path) == ["a.zip"]


def test_a_broken_connection_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.files, server.breaks_at = {"a.zip": CONTENT}, [300_000, 500_000]
    assert download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5).read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=300000-", "bytes=800000-"]


def test_a_connection_that_breaks_for_good_leaves_what_came_for_the_next_run(
    server: FileServer, tmp_path: Path
) -> None:
    server.files, server.breaks_at = {"a.zip": CONTENT}, [300_000, *[0] * 5]
    with pytest.raises(DownloadError, match=r"the 300,000 bytes that came are kept, the same command goes on"):
        download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5)
    assert left(tmp_path) == ["a.zip.part", "a.zip.part.json"]
    server.ranges.clear()
    assert download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]
    assert left(tmp_path) == ["a.zip"]


def test_a_server_without_ranges_sends_the_whole_again(server: FileServer, tmp_path: Path) -> None:
    server.files, server.breaks_at, server.with_ranges = {"a.zip": CONTENT}, [300_000], False
    assert download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5).read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"2"', ""])
def test_a_file_that_has_changed_on_the_server_is_fetched_anew(etag: str, server: FileServer, tmp_path: Path) -> None:
    server.files, server.breaks_at = {"a.zip": CONTENT}, [300_000, *[0] * 5]
    with pytest.raises(DownloadError):
        download(f"{server.base}/a.zip", tmp_path / "a.zip")
    changed = CONTENT[::-1] + b"more"
    server.files, server.etag = {"a.zip": changed}, etag
    assert download(f"{server.base}/a.zip", tmp_path / "a.zip").read_bytes() == changed


def test_without_an_etag_the_size_tells_that_the_file_is_the_same(server: FileServer, tmp_path: Path) -> None:
    server.files, server.breaks_at, server.etag = {"a.zip": CONTENT}, [300_000], ""
    assert download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5).read_bytes() == CONTENT
    assert server.ranges == ["", "bytes=300000-"]


def test_a_file_that_was_whole_when_the_last_run_was_stopped_is_taken(server: FileServer, tmp_path: Path) -> None:
    server.files, server.breaks_at = {"a.zip": CONTENT}, [300_000, *[0] * 5]
    with pytest.raises(DownloadError):
        download(f"{server.base}/a.zip", tmp_path / "a.zip")
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    assert download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5).read_bytes() == CONTENT


def test_what_is_not_the_published_file_is_removed(server: FileServer, tmp_path: Path) -> None:
    server.files = {"a.zip": b"<html>not here</html>"}
    with pytest.raises(DownloadError, match="is not the published file"):
        download(f"{server.base}/a.zip", tmp_path / "a.zip", MD5)
    assert left(tmp_path) == []


def test_a_refusal_is_told_with_its_number(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"can't fetch http://.*/a\.zip: the server answers 404 Not Found"):
        download(f"{server.base}/a.zip", tmp_path / "a.zip")
    server.files, server.status = {"a.zip": CONTENT}, 503
    with pytest.raises(DownloadError, match="the server answers 503"):
        download(f"{server.base}/a.zip", tmp_path / "a.zip")
    assert left(tmp_path) == []


def test_a_host_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"can't fetch http://127\.0\.0\.1:9/a\.zip: .*refused"):
        download("http://127.0.0.1:9/a.zip", tmp_path / "a.zip")


def test_without_encryption_or_check_sum_a_file_is_fetched_on_request_only(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="add --unverified"):
        download("http://0.0.0.0:9/a.zip", tmp_path / "a.zip")
    for options in ({"md5": MD5}, {"unverified": True}):
        with pytest.raises(DownloadError, match="can't fetch"):
            download("http://0.0.0.0:9/a.zip", tmp_path / "a.zip", **options)


def test_no_redirect_leads_from_https_to_http() -> None:
    redirects = _SafeRedirects()
    encrypted, plain = (Request(f"{scheme}://a.org/x") for scheme in ("https", "http"))
    with pytest.raises(DownloadError, match="https://a.org/x leads to http://b.org"):
        redirects.redirect_request(encrypted, None, 302, "Found", {}, "http://b.org/x")
    assert redirects.redirect_request(encrypted, None, 302, "Found", {}, "https://b.org/x") is not None
    assert redirects.redirect_request(plain, None, 302, "Found", {}, "http://b.org/x") is not None


def test_a_file_too_large_for_the_disk_is_not_begun(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamm.preparing.download.LEAST_FREE_BYTES", 10**18)
    server.files = {"a.zip": CONTENT}
    with pytest.raises(DataError, match=r"no space for a\.zip: it has 1,024,000 bytes"):
        download(f"{server.base}/a.zip", tmp_path / "a.zip")


@pytest.fixture
def no_gdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)


@pytest.mark.usefixtures("no_gdown")
@pytest.mark.parametrize(
    "name", ["caltech101", "oxford_pets", "dtd", "eurosat", "fgvc_aircraft", "sun397", "imagenetv2"]
)
def test_a_data_set_is_fetched_and_laid_out(name: str, server: FileServer, tmp_path: Path) -> None:
    server.files = MAKERS[name]()
    preparation = Preparation(small_source(name, server.base), tmp_path / "data")
    failures = preparation.run(download=True)
    assert preparation.survey.loads
    # What is left is the published split, which is on Google Drive.
    assert [failure.split(":")[0] for failure in failures] == [
        file.name for file in preparation.source.files if file.drive_id
    ]
    assert not list((tmp_path / "data").rglob(".lamm*"))


@pytest.mark.usefixtures("no_gdown")
def test_files_on_google_drive_without_gdown_are_told_with_their_link(tmp_path: Path) -> None:
    (failure,) = Preparation(small_source("eurosat"), tmp_path / "data").run(
        [write_archives("eurosat", tmp_path / "archives")], download=True
    )
    assert failure.startswith("split_zhou_EuroSAT.json: split_zhou_EuroSAT.json is on Google Drive")
    assert "https://drive.google.com/file/d/1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o/view" in failure
    assert "pip install gdown" in failure


def test_files_for_registered_users_are_told(tmp_path: Path) -> None:
    failures = Preparation(small_source("imagenet"), tmp_path / "data").run(download=True)
    assert [failure.split(":")[0] for failure in failures] == [
        "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz",
    ]  # fmt: skip
    assert all("registered users only: log in at https://image-net.org" in failure for failure in failures)


@pytest.mark.usefixtures("no_gdown")
def test_dead_links_are_told_and_the_rest_is_laid_out(server: FileServer, tmp_path: Path) -> None:
    server.files = {"cars_train.tgz": MAKERS["stanford_cars"]()["cars_train.tgz"]}
    failures = Preparation(small_source("stanford_cars", server.base), tmp_path / "data").run(download=True)
    (cars_test,) = (failure for failure in failures if failure.startswith("cars_test.tgz"))
    assert "404" in cars_test
    assert "dead since 2023" in cars_test
    assert (tmp_path / "data" / "stanford_cars" / "cars_train" / "00001.jpg").is_file()


@pytest.mark.usefixtures("no_gdown")
def test_the_second_link_is_tried_where_the_first_is_dead(server: FileServer, tmp_path: Path) -> None:
    server.files = MAKERS["eurosat"]()
    source = small_source("eurosat", server.base)
    first, *others = source.files
    first = replace(first, urls=(f"{server.base}/gone.zip", *first.urls))
    preparation = Preparation(replace(source, files=(first, *others)), tmp_path / "data")
    preparation.run(download=True)
    assert preparation.survey.loads


@pytest.mark.usefixtures("no_gdown")
def test_a_download_that_broke_is_gone_on_with_by_the_next_run(server: FileServer, tmp_path: Path) -> None:
    server.files, server.breaks_at = MAKERS["eurosat"](), [1000, *[0] * 5]
    source = small_source("eurosat", server.base)
    failures = Preparation(source, tmp_path / "data").run(download=True)
    assert "the 1,000 bytes that came are kept" in failures[0]
    server.ranges.clear()
    preparation = Preparation(source, tmp_path / "data")
    preparation.run(download=True)
    assert preparation.survey.loads
    assert server.ranges == ["bytes=1000-"]
    assert sorted(path.name for path in (tmp_path / "data" / "eurosat").iterdir()) == ["2750"]


@pytest.mark.usefixtures("no_gdown")
def test_a_damaged_download_without_a_check_sum_is_not_kept(server: FileServer, tmp_path: Path) -> None:
    server.files = {"EuroSAT.zip": MAKERS["eurosat"]()["EuroSAT.zip"][:-100]}
    failures = Preparation(small_source("eurosat", server.base), tmp_path / "data").run(download=True)
    assert "EuroSAT.zip is cut off" in failures[0]
    assert not (tmp_path / "data" / "eurosat").exists()
