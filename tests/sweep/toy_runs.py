"""Runs of the stand-in `toy_train.py`, and what became of their processes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.sweep.runs import LOG_FILE, SweepRun

TOY = "tests.sweep.toy_train:train"
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")


def toy_words(folder: Path, *do: str) -> tuple[str, ...]:
    return ("--output-dir", str(folder), *(("--do", *do) if do else ()))


def toy_log(folder: Path) -> str:
    return str(folder / LOG_FILE)


def toy_run(folder: Path, *do: str, seconds: float | None = None, method: str = "Toy") -> SweepRun:
    return SweepRun(toy_words(folder, *do), folder.name, str(folder), method, "toys", "toy", 1, 1, seconds)


def output(folder: Path) -> str:
    return (folder / LOG_FILE).read_text(encoding="utf-8")


def pids_of(folder: Path) -> list[int]:
    """Of a sleeping run: itself, its child, its parent, once it has begun."""
    wait_until(lambda: (folder / "pids").exists() and len((folder / "pids").read_text().split()) == 3)
    return [int(word) for word in (folder / "pids").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
