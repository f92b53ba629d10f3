"""Pretrained weights from the Hugging Face hub: the cache first, then one quick look whether the hub answers."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 5.0


class DownloadError(Exception):
    """Weights that are neither cached nor to be had; the message is one phrase."""


def fetch_pretrained(pretrained: Mapping[str, Any]) -> Path:
    """The weights file of one of open_clip's pretrained configs.

    A cached file is taken without a request. Otherwise a single request with a short time limit comes before the
    download: the hub's own client would repeat a failing one for half a minute.

    Raises:
        DownloadError: not cached, and the hub can't be reached or refuses.
    """
    from huggingface_hub import hf_hub_url, try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
    from open_clip.pretrained import download_pretrained

    repository, file_name = os.path.split(pretrained.get("hf_hub", ""))
    file_names = (file_name,) if file_name else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    if repository:
        for candidate in file_names:
            cached = try_to_load_from_cache(repository, candidate)
            if isinstance(cached, str):
                return Path(cached)
    _require_answer(hf_hub_url(repository, file_names[0]) if repository else pretrained.get("url", ""))
    try:
        return Path(download_pretrained(dict(pretrained)))
    except Exception as error:  # the clients raise many unrelated types; each of them means: no file
        raise DownloadError(_first_line(error)) from error


def _require_answer(url: str) -> None:
    """Raises DownloadError unless some response comes from `url` in time."""
    from huggingface_hub.utils import get_session

    try:
        get_session().head(url, timeout=ANSWER_SECONDS)
    except Exception as error:
        host = url.split("/")[2] if "//" in url else url
        raise DownloadError(f"{host} does not answer ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:160]
