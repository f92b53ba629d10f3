"""Where a run's time goes: seconds by part of the run, and a trace of a few steps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from lamm.files import atomic_path

TRACE_FILE = "trace.json"
STEPS_BEFORE = 10
"""Steps that run before a trace begins, where the training has so many."""
STEPS_IN_TRACE = 5


class Clock:
    """Wall-clock seconds of the parts of a run; a part inside another one is not counted in that.

    Nothing waits for a GPU, so the time of its work counts in the part where the host waits for it.

    >>> clock = Clock({"text": 2.0})
    >>> with clock.part("step"), clock.part("text"):
    ...     pass
    >>> sorted(clock.seconds), clock.seconds["text"] > 2
    (['other', 'step', 'text'], True)

    Attributes:
        seconds: by name of the part; of what is in no part, as `other`.

    Args:
        earlier: seconds of the starts before, when resuming.
    """

    def __init__(self, earlier: dict[str, float] | None = None) -> None:
        self.seconds = dict(earlier or {})
        self._names = ["other"]
        self._since = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what runs inside as `name`."""
        self.settle()
        self._names.append(name)
        try:
            yield
        finally:
            self.settle()
            self._names.pop()

    def settle(self) -> None:
        """Add the time since the last change to the part that is running."""
        now = time.perf_counter()
        name = self._names[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    def line(self) -> str:
        """All parts in one line, the longest first."""
        parts = sorted(self.seconds.items(), key=lambda part: -part[1])
        return f"{sum(self.seconds.values()):.1f} s: " + ", ".join(f"{name} {value:.1f}" for name, value in parts)


class StepTrace:
    """A trace of a few training steps, as a file that Perfetto and chrome://tracing open.

    Args:
        folder: of the run; the file is `TRACE_FILE` in it.
        steps: that the training has; the trace begins later than its first step if there are enough.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._file = folder / TRACE_FILE
        self._before = max(0, min(STEPS_BEFORE, steps - STEPS_IN_TRACE))
        self._done = 0
        self._profiler: profile | None = None

    def begin_step(self) -> None:
        """Start the profiler when the first step of the trace begins."""
        if self._done == self._before:
            gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self._profiler = profile(activities=[ProfilerActivity.CPU, *gpu])
            self._profiler.start()

    def end_step(self) -> None:
        """Write the file when its last step has ended."""
        self._done += 1
        if self._done == self._before + STEPS_IN_TRACE:
            self.close()

    def close(self) -> None:
        """Write what there is, as where a training has fewer steps."""
        if self._profiler is not None:
            self._profiler.stop()
            with atomic_path(self._file) as temporary:
                self._profiler.export_chrome_trace(str(temporary))
            self._profiler = None
