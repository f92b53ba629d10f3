"""Disks as tests need them: one that can't be written to, and one that lists its entries in another order."""

import builtins
import errno
import io
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest


def make_read_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Refuse to write below `folder` for the rest of the test, as a read-only mount does, root or not."""
    base = os.path.abspath(folder)

    def refuse_below(*paths: Any) -> None:
        for path in paths:
            if isinstance(path, str | os.PathLike) and f"{os.path.abspath(path)}/".startswith(f"{base}/"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def guarded(original: Callable[..., Any], count: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            refuse_below(*arguments[:count])
            return original(*arguments, **options)

        return call

    for name, count in (("mkdir", 1), ("replace", 2), ("rename", 2), ("link", 2), ("symlink", 2), ("unlink", 1)):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), count))
    plain_open, low_open = builtins.open, os.open

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):
            refuse_below(file)
        return plain_open(file, mode, *arguments, **options)

    def low_opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            refuse_below(path)
        return low_open(path, flags, *arguments, **options)

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(os, "open", low_opened)


class _Listing:
    """What `os.scandir` returns: an iterator that is a context too."""

    def __init__(self, entries: Iterable[os.DirEntry[str]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self._entries

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> "_Listing":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""


def list_in_another_order(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Let the system list every folder in an order that depends on `seed`, for the rest of the test."""
    scandir, listdir = os.scandir, os.listdir
    rng = random.Random(f"listing {seed}")

    def shuffled(entries: Iterable[Any], name_of: Callable[[Any], str]) -> list[Any]:
        mixed = sorted(entries, key=name_of)
        rng.shuffle(mixed)
        return mixed

    def mixed_scandir(path: Any = ".") -> _Listing:
        with scandir(path) as entries:
            return _Listing(shuffled(entries, lambda entry: entry.name))

    monkeypatch.setattr(os, "scandir", mixed_scandir)
    monkeypatch.setattr(os, "listdir", lambda path=".": shuffled(listdir(path), str))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path, with its bytes; folders end in a slash."""
    return {
        file.relative_to(folder).as_posix() + "/" * file.is_dir(): b"" if file.is_dir() else file.read_bytes()
        for file in sorted(folder.rglob("*"))
    }
