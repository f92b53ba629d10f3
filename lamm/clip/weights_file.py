"""Finding, fetching and reading weights files of any format; what is not such a file is a one-line error."""

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lamm.errors import BackboneError

ANSWER_SECONDS = 5.0
JIT_MEMBER = "constants.pkl"
UNREADABLE = (
    RuntimeError,
    ValueError,
    KeyError,
    EOFError,
    OSError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    SafetensorError,
)


class DownloadError(Exception):
    """Weights that are neither cached nor to be had; the message is one phrase."""


def is_jit_archive(path: Path) -> bool:
    """Whether the file is a TorchScript archive, such as OpenAI's own files."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/{JIT_MEMBER}") for name in archive.namelist())


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    Reads TorchScript archives, files of `torch.save` (also a training checkpoint's `state_dict` entry, and names
    that begin with `module.`) and safetensors.

    Raises:
        BackboneError: the file is not there, cut short, damaged, or holds no tensors.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such file (MODEL.BACKBONE.PATH names a weights file or a folder with one)")
    try:
        content = _load(path)
    except UNREADABLE as error:
        raise BackboneError(f"{path} is no weights file that can be read: {_why(path, error)}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise BackboneError(f"{path} holds no state dict of tensors: MODEL.BACKBONE.PATH needs a CLIP weights file")
    return {str(key).removeprefix("module."): tensor for key, tensor in tensors.items()}


def locate(path: str, names: tuple[str, ...]) -> Path:
    """The weights file that `path` means: the file itself, or the first of `names` in the folder.

    Raises:
        BackboneError: neither is there.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return place
    if not place.is_dir():
        raise BackboneError(f"MODEL.BACKBONE.PATH: no file or folder {place}")
    file = next((place / name for name in names if (place / name).is_file()), None)
    if file is None:
        raise BackboneError(f"MODEL.BACKBONE.PATH: the folder {place} has no {' or '.join(names)}")
    return file


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    if not is_jit_archive(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())


def _why(path: Path, error: Exception) -> str:
    """One phrase on why a file can't be read."""
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        return "it is empty"
    if head == b"PK\x03\x04" and not zipfile.is_zipfile(path):
        return "it is cut short, an unfinished download perhaps; fetch it again"
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__} {first_line[:120]}".strip()


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
