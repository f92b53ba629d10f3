"""Fetching published files over HTTP or from Google Drive; a download that broke off is resumed."""

import http.client
import importlib.util
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from lamm.datasets.sources import PublishedFile
from lamm.errors import DataError
from lamm.files import sha256_of_file
from lamm.log import logger
from lamm.preparing.archives import LEAST_FREE_BYTES
from lamm.reading import json_object

ATTEMPTS = 5
"""How often in a row a broken connection is resumed without having brought anything new."""
TIMEOUT_SECONDS = 30
BLOCK_BYTES = 1 << 18
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_HEADERS = {"User-Agent": "lamm-prepare-data", "Accept-Encoding": "identity"}


class DownloadError(DataError):
    """A file that could not be fetched; the message says why, and what is kept for the next try."""


class _BrokenOffError(Exception):
    """The connection failed, before or while the file came."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(f"{req.full_url} leads to {newurl[:200]}, which is not encrypted; it is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(file: PublishedFile, folder: Path, unverified: bool = False) -> Path:
    """Fetch a file, or take the one that an earlier run has fetched.

    Args:
        file: what to fetch.
        folder: where it goes, and where what has come of it is kept when the connection breaks.
        unverified: see `download`.

    Returns:
        `folder/<name>`.

    Raises:
        DownloadError: it can't be had; the message says why, and where a person finds it.
    """
    target = folder / file.name
    if target.is_file():
        return target
    reasons = []
    for url in file.urls:
        try:
            return download(url, target, file.md5, unverified)
        except DownloadError as error:
            reasons.append(str(error))
            if target.with_name(f"{target.name}.part").exists():  # another link would begin at zero
                break
    if file.drive_id:
        try:
            return fetch_from_drive(file, folder)
        except DownloadError as error:
            reasons.append(f"{error}; open {file.where} in a browser, or pip install gdown")
    raise DownloadError("; ".join([*reasons, file.trouble] if file.trouble else reasons))


def fetch_from_drive(file: PublishedFile, folder: Path) -> Path:
    """Fetch a file by its id on Google Drive, to `folder/<name>`, which is returned.

    Raises:
        DownloadError: `gdown` is not installed, or Google does not give the file out.
    """
    if importlib.util.find_spec("gdown") is None:
        raise DownloadError(
            f"{file.name} is on Google Drive, and the package gdown, which fetches from there, is not installed"
        )
    from torchvision.datasets.utils import download_file_from_google_drive

    try:
        download_file_from_google_drive(file.drive_id, folder, file.name, file.md5 or None)
    except Exception as error:  # gdown raises many unrelated types; each of them means: no file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DownloadError(f"Google Drive does not give out {file.name} ({reason[:160]})") from None
    if not (folder / file.name).is_file():
        raise DownloadError(f"Google Drive does not give out {file.name}")
    return folder / file.name


class PartialFile:
    """`<file>.part`: what has come so far of a download; `<file>.part.json` says from which link and version.

    What may be of another file is removed.

    Attributes:
        path: of the part.
        validator: the file's strong ETag, or else its date; "" if the server gives neither.
        total: bytes of the whole file; 0 if the server does not say.
    """

    def __init__(self, file: Path, url: str) -> None:
        self.path = file.with_name(f"{file.name}.part")
        self._notes = file.with_name(f"{file.name}.part.json")
        self.validator, self.total = "", 0
        with suppress(OSError, ValueError):
            notes = json_object(self._notes.read_bytes(), url=str, validator=str, size=int)
            if notes["url"] == url:
                self.validator, self.total = notes["validator"], notes["size"]
        if not self.total:
            self.remove()

    @property
    def size(self) -> int:
        """Bytes that have come so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self, url: str, validator: str, total: int) -> None:
        """Remember which file this is of."""
        self.validator, self.total = validator, total
        self._notes.write_text(json.dumps({"url": url, "validator": validator, "size": total}), encoding="utf-8")

    def remove(self) -> None:
        """Remove it, and what is known of it."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        self.validator, self.total = "", 0


def download(url: str, file: Path, md5: str = "", unverified: bool = False, sha256: str = "") -> Path:
    """Fetch a file; `<file>.part` is what has come so far, and is resumed if the server can.

    Args:
        url: http or https.
        file: where to put it; its folder exists.
        md5: the file's MD5 sum, "" where it is not known.
        unverified: fetch it over http even if no check sum of it is known.
        sha256: the file's SHA-256 in hexadecimal, or its first digits.

    Returns:
        `file`.

    Raises:
        DownloadError: neither encryption nor a check sum vouches for the file.
        DownloadError: the server does not answer, refuses, or breaks off again and again; or the file that came is
            not the published one.
        DataError: the disk is too full.
    """
    encrypted = urlsplit(url).scheme == "https"
    if not (md5 or sha256 or encrypted or unverified or urlsplit(url).hostname in THIS_MACHINE):
        raise DownloadError(
            f"{url} is not encrypted, and no check sum of the file is known, so anyone on the way could replace it: "
            "add --unverified to fetch it all the same"
        )
    if not (md5 or sha256):
        logger.info(f"{file.name}: no check sum of it is known; only its contents are looked at")
    elif not encrypted:
        logger.info(f"{file.name}: it comes over http; its check sum is compared")
    part, barren, complete = PartialFile(file, url), 0, False
    while not complete:
        before = part.size
        try:
            _fetch_rest(url, part)
            complete = True
        except urllib.error.HTTPError as error:
            raise DownloadError(f"can't fetch {url}: the server answers {error.code} {error.reason}") from None
        except _BrokenOffError as error:
            barren = 0 if part.size > before else barren + 1
            if not before and not part.size:
                raise DownloadError(f"can't fetch {url}: {error}") from None
            if barren >= ATTEMPTS:
                kept = f"the {part.size:,} bytes that came are kept, the same command goes on from there"
                raise DownloadError(f"can't fetch {url}: {error}; {kept}") from None
            logger.info(f"the connection broke at {part.size:,} bytes ({error}): going on from there")
    if (md5 and not has_md5(part.path, md5)) or (sha256 and not sha256_of_file(part.path).startswith(sha256)):
        part.remove()
        raise DownloadError(f"what came from {url} is not the published file (by its check sum), so it was removed")
    part.path.rename(file)
    part.remove()
    return file


def _fetch_rest(url: str, part: PartialFile) -> None:
    """One request: everything behind what is there, or the whole where the server can't, or its file has changed."""
    start = part.size if part.total else 0
    asked = {"Range": f"bytes={start}-"} if start else {}
    if start and part.validator:
        asked["If-Range"] = part.validator
    request = urllib.request.Request(url, headers=_HEADERS | asked)
    try:
        with _connection_failures():
            response = urllib.request.build_opener(_SafeRedirects).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        if _first_byte_and_total(error.headers, 0)[1] == start:  # nothing is behind what is there
            return
        part.remove()
        raise _BrokenOffError("the file on the server has changed") from None
    with response:
        first, total = _first_byte_and_total(response.headers, start)
        resumes = start > 0 and response.status == 206
        if resumes and (first != start or total != part.total):
            part.remove()
            raise _BrokenOffError("the file on the server has changed")
        if start and not resumes:
            logger.info("the server can't go on in the middle, or its file has changed: starting over")
        tag, date = response.headers.get("ETag") or "", response.headers.get("Last-Modified") or ""
        part.note(url, date if not tag or tag.startswith("W/") else tag, total)  # a weak tag promises nothing
        _receive(response, part, start if resumes else 0, total)


def _first_byte_and_total(headers: Any, asked_from: int) -> tuple[int, int]:
    """Where the piece that a server sends begins (-1: it does not say), and the size of the whole file (or 0)."""
    piece = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range") or "")
    if piece:
        return int(piece[1] or -1), int(piece[2]) if piece[2].isdecimal() else 0
    length = headers.get("Content-Length") or ""
    return -1 if asked_from else 0, int(length) if length.isdecimal() else 0


def _receive(response: Any, part: PartialFile, start: int, total: int) -> None:
    """Append what comes; `total` is the size of the whole file, 0 where the server does not say it."""
    free = shutil.disk_usage(part.path.parent).free
    if total - start > free - LEAST_FREE_BYTES:
        raise DataError(
            f"no space for {part.path.stem}: it has {total:,} bytes, and {free:,} are free at {part.path.parent}; make "
            "room, or use another data root"
        )
    with (
        open(part.path, "ab" if start else "wb") as file,
        tqdm(total=total or None, initial=start, desc=part.path.stem, unit="B", unit_scale=True, disable=None) as bar,
    ):
        while True:
            with _connection_failures():
                block = response.read(BLOCK_BYTES)
            if not block:
                break
            file.write(block)
            bar.update(len(block))
    if part.size < total:
        raise _BrokenOffError("it ended too early")


@contextmanager
def _connection_failures() -> Iterator[None]:
    """What goes wrong with a connection as a _BrokenOffError; a refusal (HTTPError) as it is, unless it may pass."""
    try:
        yield
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise
        raise _BrokenOffError(f"the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _BrokenOffError(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(str(error) or type(error).__name__) from None


def has_md5(file: Path, md5: str) -> bool:
    """Whether a file has this MD5 sum."""
    from torchvision.datasets.utils import check_integrity  # slow to import

    return bool(check_integrity(file, md5))
