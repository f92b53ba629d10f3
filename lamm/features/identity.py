"""What an image feature depends on: the tower's weights, its arithmetic, the transform, and the image."""

import hashlib
import json
import os
from typing import Any

import PIL
import torch
import torchvision
from torch import Tensor, nn
from yacs.config import CfgNode

# What of INPUT the test transform reads; the training transform reads all of it.
TEST_KEYS = ("SIZE", "INTERPOLATION", "PIXEL_MEAN", "PIXEL_STD", "DECODING")
TEST_TRANSFORMS = ("normalize", "instance_norm")
# What of INPUT says where and how many features are kept, not what they are.
NOT_PIXELS = ("CACHE_VIEWS", "CACHE_DIR", "CACHE_GB")
KEY_BYTES = 16


def tower_identity(tower: nn.Module) -> str:
    """A fingerprint of a module's parameters and buffers; a change of any single value changes it.

    Values are summed up as integers, weighted by their place, which takes one pass over the memory.
    """
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype} {_checksum(value)}\n".encode())
    return digest.hexdigest()


def transform_identity(options: CfgNode, is_train: bool) -> dict[str, Any]:
    """What of a config's INPUT node decides the pixels, with the versions of the libraries that make them."""
    if is_train:
        chosen = {key: value for key, value in options.items() if key not in NOT_PIXELS}
    else:
        chosen = {key: options[key] for key in TEST_KEYS if key in options}
        chosen["TRANSFORMS"] = [name for name in TEST_TRANSFORMS if name in options.TRANSFORMS]
    return {**chosen, "torchvision": torchvision.__version__, "pillow": PIL.__version__}


def space_identity(tower: str, precision: str, device: str, transform: dict[str, Any]) -> str:
    """A name for all features that one tower makes in one way; 32 hexadecimal digits."""
    text = json.dumps([tower, precision, device, transform], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def image_identity(path: str, view: int = 0) -> bytes:
    """A key for one view of an image file, by its path, size and time of modification; `KEY_BYTES` bytes.

    Raises:
        OSError: there is no such file.
    """
    status = os.stat(path)
    text = f"{os.path.abspath(path)}\n{status.st_size}\n{status.st_mtime_ns}\n{view}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:KEY_BYTES]


def _checksum(value: Tensor) -> int:
    flat = value.detach().contiguous().flatten()
    if flat.numel() == 0:
        return 0
    whole = flat.view(torch.uint8).to(torch.int64) if flat.element_size() != 4 else flat.view(torch.int32).long()
    places = torch.arange(1, len(whole) + 1, device=whole.device, dtype=torch.int64)
    return int((whole * (2 * places + 1)).sum().item())
