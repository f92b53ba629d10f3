"""Reading weights files of any format; what is not such a file is a one-line error."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lamm.clip.sources import first_line
from lamm.errors import BackboneError
from lamm.torch_files import TorchFileError, is_jit_archive, read_jit_weights, read_torch_file


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
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        raise BackboneError(f"{path} is not a weights file that can be read: {reason}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise BackboneError(f"{path} holds no state dict of tensors: MODEL.BACKBONE.PATH needs a CLIP weights file")
    return {str(key).removeprefix("module."): tensor for key, tensor in tensors.items()}


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return read_jit_weights(path) if is_jit_archive(path) else read_torch_file(path)
