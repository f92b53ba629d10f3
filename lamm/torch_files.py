"""Files of `torch.save` and `torch.jit.save`, read as plain data and tensors on the CPU; nothing in them can run.

`torch.load(weights_only=True)` runs no foreign code either, but lets a small file ask for terabytes, and
`torch.jit.load` runs the program in an archive. Here a tensor gets no larger than what the file has of it, and
check sums are compared, which torch does not do.
"""

import io
import math
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from lamm.plain_pickle import Calls, Inert, Name, PickleError, plain, read_pickle

JIT_MEMBER = "constants.pkl"
MOST_REPEATED = 2**26
"""Elements of a tensor that the file has fewer of: expanded tensors, with strides of 0."""
MOST_CODE_BYTES = 50_000_000
MOST_MODULES = 100_000
"""Of a TorchScript archive; one that is held twice counts twice."""
STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip
DTYPES = {str(dtype): dtype for dtype in STORAGES.values()}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
_LISTS = {f"torch.jit._pickle.build_{kind}list": lambda items: items for kind in ("int", "bool", "double", "tensor")}
_MODULE = re.compile(r"^class (\w+)\(Module\):\n((?:  __\w+__ = .*\n)*)", re.MULTILINE)


class TorchFileError(PickleError):
    """A file that can't be read; the message is one phrase."""


def is_jit_archive(path: Path) -> bool:
    """Whether the file is a TorchScript archive, such as OpenAI's own files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.count("/") == 1 and name.endswith(f"/{JIT_MEMBER}") for name in archive.namelist())
    except Exception:  # not a zip archive that can be read
        return False


def read_torch_file(path: Path, objects: bool = False) -> Any:
    """What `torch.save` has written, of any version since 2016 but the first: tensors, numbers, strings, containers.

    Args:
        path: the file.
        objects: whether objects of classes become dictionaries of their state; else they are refused.

    Raises:
        TorchFileError: it is damaged, holds something else, or its tensors have more elements than it has bytes for.
        OSError: it can't be opened.
    """
    with _damage_as_error(), open(path, "rb") as file:
        if file.read(2) == b"PK":
            with _Archive(file) as archive:
                if archive.has(JIT_MEMBER):
                    raise TorchFileError("it is a TorchScript archive, not a checkpoint")
                root = archive.root(lambda name: objects)
        else:
            root = _read_legacy(file, lambda name: objects)
        if isinstance(root, Inert):
            raise TorchFileError(f"it holds an object of {root.kind[:80]} where data is needed")
        return plain(root, (Tensor, torch.device), DTYPES)


def read_jit_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a TorchScript archive, as `torch.jit.load(path).state_dict()` gives it; its code never runs.

    Raises:
        TorchFileError: see `read_torch_file`.
        OSError: it can't be opened.
    """
    weights: dict[str, Tensor] = {}
    left = MOST_MODULES
    with _damage_as_error(), open(path, "rb") as file, _Archive(file) as archive:

        def collect(module: Inert, prefix: str, level: int) -> None:
            nonlocal left
            names = archive.tensor_names(module.kind)
            if names is None:
                return
            left -= 1
            if level > 50 or left < 0:
                raise TorchFileError("its modules are nested too deeply, or too many")
            for name in names:
                if isinstance(module.state.get(name), Tensor):
                    weights[prefix + name] = module.state[name]
            for name, value in module.state.items():
                if isinstance(value, Inert) and isinstance(name, str):
                    collect(value, f"{prefix}{name}.", level + 1)

        root = archive.root(lambda name: name.startswith("__torch__."))
        if not isinstance(root, Inert):
            raise TorchFileError("it holds no module")
        collect(root, "", 0)
    return weights


@contextmanager
def _damage_as_error() -> Iterator[None]:
    try:
        yield
    except (TorchFileError, OSError):
        raise
    except PickleError as error:
        raise TorchFileError(str(error)) from None
    except Exception as error:  # what a broken or hostile archive trips over is anyone's guess
        reason = " ".join(str(error).split())[:120]
        raise TorchFileError(f"it can't be unpacked ({reason or type(error).__name__})") from None


@dataclass(frozen=True)
class _Storage:
    """Memory that tensors share: `elements`, one-dimensional."""

    elements: Tensor


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """What `torch._utils._rebuild_tensor_v2` gives, within the storage."""
    lengths, strides = tuple(size), tuple(stride)
    numbers = (offset, *lengths, *strides)
    if not isinstance(storage, _Storage) or not all(type(number) is int and 0 <= number < 2**60 for number in numbers):
        raise PickleError("a tensor in it is damaged")
    if len(lengths) != len(strides) or len(lengths) > 64 or (len(rest) > 2 and rest[2]):
        raise PickleError("a tensor in it is of a kind that is not read here")
    here, count = storage.elements.numel(), math.prod(lengths)
    last = offset + sum((length - 1) * step for length, step in zip(lengths, strides, strict=True))
    if count and (last >= here or count > max(here, MOST_REPEATED)):
        raise PickleError(f"a tensor in it has the shape {lengths[:4]}, but the file has only {here:,} numbers of it")
    if not count and max(lengths) > 2**31:
        raise PickleError("a tensor in it is damaged")
    tensor = torch.empty(0, dtype=storage.elements.dtype)
    return tensor.set_(storage.elements.untyped_storage(), offset if count else 0, lengths, strides)


def _parameter(data: Any, *rest: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise PickleError("a parameter in it is damaged")
    return data


def _refuse(*arguments: Any) -> Any:
    raise PickleError("it holds a tensor that is sparse, quantised or of another kind that is not read here")


CALLS: Calls = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{
        f"torch._utils.{name}": _refuse
        for name in (
            "_rebuild_tensor_v3", "_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor", "_rebuild_nested_tensor",
            "_rebuild_meta_tensor_no_storage", "_rebuild_wrapper_subclass", "_rebuild_qtensor",
            "_rebuild_device_tensor_from_numpy", "_rebuild_device_tensor_from_cpu_tensor",
        )
    },
    "torch._tensor._rebuild_from_type_v2": _refuse,
    "torch.Size": lambda lengths=(): tuple(lengths),
    "torch.device": torch.device,
    "torch.jit._pickle.restore_type_tag": lambda value, tag: value,
    **_LISTS,
}  # fmt: skip


def _storage_of(identity: Any, load: Callable[[str, torch.dtype, int], _Storage]) -> _Storage:
    """The storage of a persistent id: ("storage", type, key, device, number of elements)."""
    word, kind, key, _, count = identity[:5]
    dtype = STORAGES.get(kind.text.removeprefix("torch.")) if isinstance(kind, Name) else None
    if dtype is None:
        raise PickleError("it holds numbers of a type that is not read here")
    if word not in ("storage", b"storage") or type(count) is not int or count < 0 or any(identity[5:]):
        raise PickleError("a tensor in it is damaged")
    return load(key.decode() if isinstance(key, bytes) else str(key), dtype, count)


def _fill(elements: Tensor, file: IO[bytes]) -> None:
    """Read as many bytes as a tensor has."""
    content = elements.view(torch.uint8).numpy()
    if content.size and file.readinto(content) != content.size:  # type: ignore[attr-defined]
        raise TorchFileError("it is cut short")


class _Archive:
    """The zip archive that `torch.save` and `torch.jit.save` write: `<name>/data.pkl`, `<name>/data/<key>` and more.

    Only entries that are stored as they are get read, so a file can't grow by unpacking.
    """

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except zipfile.BadZipFile:
            raise TorchFileError("it is damaged or cut short, an unfinished download perhaps; fetch it again") from None
        infos = self._zip.infolist()
        self._entries = {info.filename: info for info in infos}
        roots = [name for name in self._entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(roots) != 1 or len(infos) != len(self._entries):
            raise TorchFileError("it is a zip archive, but not one of torch's")
        self._prefix = roots[0].removesuffix("data.pkl")
        self._left, self._code_left = file.seek(0, 2), MOST_CODE_BYTES
        self._storages: dict[str, _Storage] = {}
        self._tensor_names: dict[str, list[str]] = {}
        self._files_of_code: set[str] = set()

    def __enter__(self) -> "_Archive":
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def has(self, name: str) -> bool:
        """Whether there is an entry of this name."""
        return self._prefix + name in self._entries

    def root(self, is_inert: Callable[[str], bool]) -> Any:
        """The object that was saved."""
        if self.has("byteorder") and self._read("byteorder", 6) != b"little":
            raise TorchFileError("it was written by a big-endian machine, whose numbers are not read here")
        with self._stored("data.pkl", self._left) as file:
            content = io.BytesIO(file.read())
        return read_pickle(content, CALLS, lambda identity: _storage_of(identity, self._load), is_inert)

    def tensor_names(self, kind: str) -> list[str] | None:
        """The attributes of a module class that are in its state dict, parameters first; None: not a module."""
        path = "code/" + kind.rpartition(".")[0].replace(".", "/") + ".py"
        if path not in self._files_of_code and self.has(path):
            self._files_of_code.add(path)
            text = self._read(path, self._code_left).decode("utf-8", "replace")
            self._code_left -= len(text)
            for name, lines in _MODULE.findall(text):
                by_kind = {
                    attribute: re.findall(r'"(\w+)"', names)
                    for attribute, names in re.findall(r"^\s*__(parameters|buffers)__ = \[([^\]\n]*)\]", lines, re.M)
                }
                module = kind.rpartition(".")[0]
                self._tensor_names[f"{module}.{name}"] = [
                    *by_kind.get("parameters", []),
                    *by_kind.get("buffers", []),
                ]
        return self._tensor_names.get(kind)

    def _read(self, name: str, most: int) -> bytes:
        """A small entry, which may be compressed."""
        with self._zip.open(self._entries[self._prefix + name]) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise TorchFileError(f"{name} in it is too large")
        return content

    def _stored(self, name: str, most: int) -> IO[bytes]:
        info = self._entries.get(self._prefix + name)
        if info is None:
            raise TorchFileError(f"it has no {name}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.file_size > most:
            raise TorchFileError(f"{name} in it is compressed or too large; torch writes it otherwise")
        return self._zip.open(info)

    def _load(self, key: str, dtype: torch.dtype, count: int) -> _Storage:
        if key not in self._storages:
            size = count * dtype.itemsize
            with self._stored(f"data/{key}", self._left) as file:
                if self._entries[f"{self._prefix}data/{key}"].file_size != size:
                    raise TorchFileError(f"data/{key} in it has another size than its tensor")
                self._left -= size
                self._storages[key] = _Storage(torch.empty(count, dtype=dtype))
                _fill(self._storages[key].elements, file)
                if file.read(1):
                    raise TorchFileError(f"data/{key} in it has another size than its tensor")
        if self._storages[key].elements.dtype != dtype:
            raise TorchFileError("a tensor in it is damaged")
        return self._storages[key]


def _read_legacy(file: IO[bytes], is_inert: Callable[[str], bool]) -> Any:
    """What torch before 1.6 wrote: a few pickles, and the storages behind them."""
    left = file.seek(0, 2)
    file.seek(0)
    if file.read(1) != b"\x80":
        raise TorchFileError("it is not a file of torch.save" if left else "it is empty")
    file.seek(0)
    storages: dict[str, _Storage] = {}

    def load(key: str, dtype: torch.dtype, count: int) -> _Storage:
        nonlocal left
        if key not in storages:
            left -= count * dtype.itemsize
            if left < 0:
                raise TorchFileError("it has fewer bytes than its tensors")
            storages[key] = _Storage(torch.empty(count, dtype=dtype))
        if storages[key].elements.dtype != dtype or storages[key].elements.numel() != count:
            raise TorchFileError("a tensor in it is damaged")
        return storages[key]

    magic, protocol, system = (read_pickle(file, CALLS) for _ in range(3))
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL or not system.get("little_endian"):
        raise TorchFileError("it is not a file of torch.save")
    root = read_pickle(file, CALLS, lambda identity: _storage_of(identity, load), is_inert)
    for key in read_pickle(file, CALLS):
        storage = storages[key.decode() if isinstance(key, bytes) else key]
        if int.from_bytes(file.read(8), "little") != storage.elements.numel():
            raise TorchFileError("a tensor in it has another size than its numbers")
        _fill(storage.elements, file)
    return root
