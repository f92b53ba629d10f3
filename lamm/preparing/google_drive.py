"""Files that the benchmark's authors keep on Google Drive: fetched where the package `gdown` is installed."""

import importlib
from pathlib import Path

from lamm.datasets.published_files import PublishedFile
from lamm.preparing.downloading import DownloadError


def fetch_from_drive(file: PublishedFile, folder: Path) -> Path:
    """Fetch a file by its id.

    Returns:
        Its path, `folder/<name>`.

    Raises:
        DownloadError: `gdown` is not installed, or Google does not give the file out.
    """
    try:
        importlib.import_module("gdown")
    except ImportError:
        raise DownloadError(
            f"{file.name} is on Google Drive, and the package gdown, which fetches from there, is not installed"
        ) from None
    from torchvision.datasets.utils import download_file_from_google_drive

    try:
        download_file_from_google_drive(file.drive_id, folder, file.name, file.md5 or None)
    except Exception as error:  # gdown raises many unrelated types; each of them means: no file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DownloadError(f"Google Drive does not give out {file.name} ({reason[:160]})") from None
    if not (folder / file.name).is_file():
        raise DownloadError(f"Google Drive does not give out {file.name}")
    return folder / file.name
