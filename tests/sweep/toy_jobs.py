"""Jobs of the stand-in `toy_train.py`, and what became of their processes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from lamm.sweep.estimate import Job
from lamm.sweep.worker import Ended, Pool, Setup

TOY = str(Path(__file__).with_name("toy_train.py"))


def toy_setup(folder: Path, threads: int = 1) -> Setup:
    return Setup(TOY, ("json",), str(folder), threads)


def toy_job(folder: Path, *do: str, seconds: float = 1.0, memory: float = 1.0) -> Job:
    words = ("--output-dir", str(folder), *(("--do", *do) if do else ()))
    return Job(words, folder.name, str(folder), "Toy", "toys", seconds, memory)


def said(folder: Path) -> str:
    return (folder / "stdout.txt").read_text(encoding="utf-8")


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


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def until_ended(pool: Pool, count: int) -> dict[int, Ended]:
    """The ends of the next `count` runs, by number."""
    ends: dict[int, Ended] = {}
    began = time.monotonic()
    while len(ends) < count:
        assert time.monotonic() < began + 60, f"only {len(ends)} of {count} runs ended"
        event = pool.next_event(1.0)
        if isinstance(event, Ended):
            ends[event.number] = event
    return ends


def has_proc() -> bool:
    return os.path.isdir("/proc/self")
