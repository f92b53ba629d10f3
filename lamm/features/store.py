"""Features on disk: files of keys and vectors, written once and never changed.

`<folder>/<space>/<random>.safetensors` holds the tensors `keys` (n, 16) uint8 and `features`: (n, E) fp32 or, of tokens
at a tower's cut, (n, N, W) fp16. A file is written under a temporary name and renamed, so runs that write at the same
time, or are killed, leave whole files only; two that encode the same image both store it, which only costs space. The
files that were read longest ago are removed first when all of them together exceed the limit.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import PIL
import torch
import torchvision
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.files import atomic_path, remove_leftovers
from lamm.images import image_errors
from lamm.log import logger

# The keys of INPUT that the test transform reads; the training transform reads all of them.
TEST_KEYS = ("SIZE", "INTERPOLATION", "PIXEL_MEAN", "PIXEL_STD", "DECODING")
TEST_TRANSFORMS = ("normalize", "instance_norm")
# The keys of INPUT that say where and how many features are stored, not what they are.
NOT_PIXELS = ("CACHE_VIEWS", "CACHE_DIR", "CACHE_GB", "EXIF")
KEY_BYTES = 16
# Values of a tensor that are summed up at once, by one thread: they stay in its cache, and it waits for no other.
PART = 1 << 15
# Raised when the same file, options and libraries give other pixels than before: older features are not read then.
PIXELS = 2


def tower_identity(tower: nn.Module) -> str:
    """A fingerprint of a module's parameters and buffers; a change of any single value changes it.

    Values are summed up as integers, weighted by their place, which takes one pass over the memory; it is taken again
    only when a tensor was written to or replaced since.
    """
    state = sorted(tower.state_dict().items())
    written = None
    if not any(value.is_inference() for _, value in state):  # those don't count how often they are written to
        written = [(name, value.data_ptr(), value._version) for name, value in state]
        if tower in _known and _known[tower].written == written:
            return _known[tower].identity
    digest = hashlib.sha256()
    for name, value in state:
        digest.update(f"{name} {tuple(value.shape)} {value.dtype} {_checksum(value)}\n".encode())
    if written is not None:
        _known[tower] = Identity(digest.hexdigest(), written, state)
    return digest.hexdigest()


class Identity(NamedTuple):
    """A tower's fingerprint, and by what it is known to hold still: each tensor's name, place and number of writes.

    The tensors are kept, so that no other one takes their place in the memory.
    """

    identity: str
    written: list[tuple[str, int, int]]
    state: list[tuple[str, Tensor]]


_known: WeakKeyDictionary[nn.Module, Identity] = WeakKeyDictionary()


def transform_identity(options: CfgNode, is_train: bool, upright: bool = False) -> dict[str, Any]:
    """What of a config's INPUT node decides the pixels, with the versions of the libraries that make them.

    Args:
        options: the node.
        is_train: whether training images are meant.
        upright: whether images are turned as their EXIF orientation says.
    """
    if is_train:
        chosen = {key: value for key, value in options.items() if key not in NOT_PIXELS}
    else:
        chosen = {key: options[key] for key in TEST_KEYS if key in options}
        chosen["TRANSFORMS"] = [name for name in TEST_TRANSFORMS if name in options.TRANSFORMS]
    libraries = {"torchvision": torchvision.__version__, "pillow": PIL.__version__}
    return {**chosen, "upright": upright, "pixels": PIXELS, **libraries}


def space_identity(tower: str, precision: str, device: str, transform: dict[str, Any]) -> str:
    """A name for all features that one tower makes in one way; 32 hexadecimal digits."""
    text = json.dumps([tower, precision, device, transform], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def image_identity(path: str, view: int = 0) -> bytes:
    """The key under which one view of an image file is stored; `KEY_BYTES` bytes.

    By path, size and time of modification: it says whether the file is still the one that was encoded, and nothing of
    what is in it. What a view looks like never depends on it.

    Raises:
        ImageError: there is no such file.
    """
    with image_errors(path):
        status = os.stat(path)
    text = f"{os.path.abspath(path)}\n{status.st_size}\n{status.st_mtime_ns}\n{view}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:KEY_BYTES]


def _checksum(value: Tensor) -> int:
    """Σ_i (2i + 1) v_i over the values as integers, i from 1, modulo 2^64 as a signed number; in parts that stay in the
    processor's cache."""
    flat = value.detach().contiguous().flatten()
    if flat.numel() == 0:
        return 0
    flat = flat.view(torch.uint8 if flat.element_size() != 4 else torch.int32)
    weights = torch.arange(1, min(len(flat), PART) + 1, device=flat.device, dtype=torch.int64) * 2 + 1
    total = torch.zeros((), device=flat.device, dtype=torch.int64)
    for start in range(0, len(flat), PART):
        part = flat[start : start + PART].long()
        total += 2 * start * part.sum() + (part * weights[: len(part)]).sum()
    return int(total)


SUFFIX = ".safetensors"


class FeatureStore:
    """The stored features of one space (`space_identity`).

    Args:
        folder: of all spaces.
        space: name of this one.
        limit: bytes that all spaces together may take.
    """

    def __init__(self, folder: Path, space: str, limit: int) -> None:
        self._root, self._folder, self._limit = folder, folder / space, limit

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        """The features of those keys that are there, (E,) each; a damaged file counts as absent."""
        wanted, features = set(keys), {}
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            if not wanted:
                break
            with suppress(OSError, SafetensorError, ValueError, KeyError, RuntimeError):
                of_file = _read_file(file, wanted)
                if of_file:
                    features.update(of_file)
                    wanted -= of_file.keys()
                    os.utime(file)
        return features

    def open_rows(self, keys: Sequence[bytes]) -> dict[bytes, "StoredRow"]:
        """Where those keys that are there have their features, which stay on the disk until they are asked for."""
        wanted, rows = set(keys), {}
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            if not wanted:
                break
            with suppress(OSError, SafetensorError, ValueError, KeyError, RuntimeError):
                # Not closed: what is mapped can be read also when the file has been removed to make room.
                opened = safe_open(file, framework="pt")
                features, of_file = opened.get_slice("features"), _keys_of(opened)
                rows.update({key: StoredRow(features, place) for place, key in enumerate(of_file) if key in wanted})
                if not wanted.isdisjoint(of_file):
                    wanted -= rows.keys()
                    os.utime(file)
        return rows

    def write(self, keys: Sequence[bytes], features: Tensor) -> None:
        """Store features, a row for each key; if that is not possible, a line in the log says so."""
        rows = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(len(keys), KEY_BYTES)
        file = self._folder / f"{uuid.uuid4().hex}{SUFFIX}"
        try:
            with atomic_path(file) as temporary:
                temporary.write_bytes(save({"keys": rows, "features": features.cpu().contiguous()}))
        except OSError as error:
            logger.info("image features are not stored: can't write to %s (%s)", self._folder, error)
            return
        _remove_beyond(self._root, self._limit, newest=file)


class StoredRow(NamedTuple):
    """One row of a stored file.

    Attributes:
        features: all rows of the file, memory-mapped.
        place: the row's number.
    """

    features: Any
    place: int

    def read(self) -> Tensor:
        """The row, and nothing else of the file."""
        row: Tensor = self.features[self.place]
        return row


def _keys_of(opened: Any) -> list[bytes]:
    raw = opened.get_tensor("keys").numpy().tobytes()
    return [raw[start : start + KEY_BYTES] for start in range(0, len(raw), KEY_BYTES)]


def _read_file(file: Path, wanted: set[bytes]) -> dict[bytes, Tensor]:
    with safe_open(file, framework="pt") as opened:
        of_file = _keys_of(opened)
        if wanted.isdisjoint(of_file):
            return {}
        features = opened.get_tensor("features")
    return {key: features[place] for place, key in enumerate(of_file) if key in wanted}


def _remove_beyond(root: Path, limit: int, newest: Path) -> None:
    """Remove what was read longest ago until all files fit, and what killed runs have left; never `newest`."""
    files = []
    for folder in root.glob("*"):
        remove_leftovers(folder)
        for file in folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                status = file.stat()
                # Another run may have removed `newest` by now; while it is there it comes last.
                files.append((file == newest, status.st_mtime, status.st_size, file))
    total = sum(size for _, _, size, _ in files)
    for is_newest, _, size, file in sorted(files):
        if total <= limit or is_newest:
            return
        with suppress(OSError):
            file.unlink()
        total -= size
