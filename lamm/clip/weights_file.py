"""Finding, fetching and reading weights files of any format; what is not such a file is a one-line error."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lamm.errors import BackboneError
from lamm.torch_files import TorchFileError, is_jit_archive, read_jit_weights, read_torch_file

ANSWER_SECONDS = 5.0


class DownloadError(Exception):
    """Weights that are neither cached nor to be had; the message is one phrase."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    Reads TorchScript archives, files of `torch.save` (also a training checkpoint's `state_dict` entry, and names
    that begin with `module.`) and safetensors. Nothing in the file can run, and no tensor is larger than the file.

    Raises:
        BackboneError: the file is not there, cut short, damaged, or holds no tensors, or objects of classes.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such file (MODEL.BACKBONE.PATH names a weights file or a folder with one)")
    try:
        content = _load(path)
    except (TorchFileError, SafetensorError, OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else _first_line(error)
        raise BackboneError(f"{path} is not a weights file that can be read: {reason}") from error
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
    place = Path(os.path.expanduser(path))  # leaves the home of a stranger as it is; `Path.expanduser` raises
    try:
        if place.is_file():
            return place
        is_folder = place.is_dir()
    except OSError as error:
        raise BackboneError(f"MODEL.BACKBONE.PATH: {path[:80]!r} can't be looked at: {error.strerror}") from None
    if not is_folder:
        raise BackboneError(f"MODEL.BACKBONE.PATH: no file or folder {str(place)[:200]}")
    file = next((place / name for name in names if (place / name).is_file()), None)
    if file is None:
        raise BackboneError(f"MODEL.BACKBONE.PATH: the folder {place} has no {' or '.join(names)}")
    return file


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return read_jit_weights(path) if is_jit_archive(path) else read_torch_file(path)


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
