"""Reading a state dict from a weights file, whatever its format, with one-line errors for what is no such file."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lamm.errors import BackboneError

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
    given = Path(path).expanduser()
    if given.is_file():
        return given
    if not given.is_dir():
        raise BackboneError(f"MODEL.BACKBONE.PATH: no file or folder {given}")
    found = next((given / name for name in names if (given / name).is_file()), None)
    if found is None:
        raise BackboneError(f"MODEL.BACKBONE.PATH: the folder {given} has no {' or '.join(names)}")
    return found


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
