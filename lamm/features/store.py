"""Features on disk: files of keys and vectors, written once and never changed.

`<folder>/<space>/<random>.safetensors` holds the tensors `keys` (n, 16) uint8 and `features` (n, E) fp32. A file is
written under a temporary name and renamed, so runs that write at the same time, or are killed, leave whole files only;
two that encode the same image both keep it, which costs space alone. Files that nobody has read for the longest are
removed first when all of them together exceed the limit.
"""

import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lamm.features.identity import KEY_BYTES
from lamm.files import atomic_path
from lamm.log import logger

SUFFIX = ".safetensors"
_LEFT_BEHIND_SECONDS = 24 * 3600


class FeatureStore:
    """The kept features of one space (`space_identity`).

    Args:
        folder: of all spaces.
        space: name of this one.
        limit: bytes that all spaces together may take.
    """

    def __init__(self, folder: Path, space: str, limit: int) -> None:
        self._root, self._folder, self._limit = folder, folder / space, limit

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        """The features of those keys that are there, (E,) each; a damaged file counts as absent."""
        wanted, found = set(keys), {}
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            if not wanted:
                break
            with suppress(OSError, SafetensorError, ValueError, KeyError, RuntimeError):
                of_file = _read_file(file, wanted)
                if of_file:
                    found.update(of_file)
                    wanted -= of_file.keys()
                    os.utime(file)
        return found

    def write(self, keys: Sequence[bytes], features: Tensor) -> None:
        """Keep features (n, E); where that is not possible a line in the log says so."""
        rows = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(len(keys), KEY_BYTES)
        file = self._folder / f"{uuid.uuid4().hex}{SUFFIX}"
        try:
            with atomic_path(file) as temporary:
                save_file({"keys": rows, "features": features.float().cpu().contiguous()}, temporary)
        except (OSError, SafetensorError) as error:
            logger.info("image features are not kept: can't write to %s (%s)", self._folder, error)
            return
        _remove_beyond(self._root, self._limit, newest=file)


def _read_file(file: Path, wanted: set[bytes]) -> dict[bytes, Tensor]:
    with safe_open(file, framework="pt") as opened:
        raw = opened.get_tensor("keys").numpy().tobytes()
        of_file = [raw[start : start + KEY_BYTES] for start in range(0, len(raw), KEY_BYTES)]
        if wanted.isdisjoint(of_file):
            return {}
        features = opened.get_tensor("features")
    return {key: features[place] for place, key in enumerate(of_file) if key in wanted}


def _remove_beyond(root: Path, limit: int, newest: Path) -> None:
    """Remove what was read longest ago until all files fit, and what killed runs have left; never `newest`."""
    files = []
    for file in root.glob("*/*"):
        with suppress(OSError):
            status = file.stat()
            if file.name.endswith(".tmp") and time.time() - status.st_mtime > _LEFT_BEHIND_SECONDS:
                file.unlink()
            elif file.suffix == SUFFIX:
                # Another run may have removed `newest` by now; while it is there it comes last.
                files.append((file == newest, status.st_mtime, status.st_size, file))
    total = sum(size for _, _, size, _ in files)
    for is_newest, _, size, file in sorted(files):
        if total <= limit or is_newest:
            return
        with suppress(OSError):
            file.unlink()
        total -= size
