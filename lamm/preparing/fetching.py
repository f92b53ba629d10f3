"""Fetching a published file from wherever it is to be had: its links, then Google Drive."""

from pathlib import Path

from lamm.datasets.published_files import PublishedFile
from lamm.preparing.downloading import DownloadError, download
from lamm.preparing.google_drive import fetch_from_drive


def fetch(file: PublishedFile, folder: Path) -> Path:
    """Fetch a file, or take the one that an earlier run has fetched.

    Args:
        file: what to fetch.
        folder: where it goes, and where what has come of it is kept when the connection breaks.

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
            return download(url, target, file.md5)
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
