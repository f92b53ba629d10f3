"""What is handed to a pool of processes, and what comes back from it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Setup:
    """What every run of a sweep has in common; all paths are absolute.

    Attributes:
        train_script: the `train.py` to run.
        modules: imported before the first run, so that runs start without their cost.
        folder: working directory of the runs.
        threads: of each run.
    """

    train_script: str
    modules: tuple[str, ...]
    folder: str
    threads: int


@dataclass(frozen=True)
class Order:
    """One run to carry out.

    Attributes:
        number: its place in the list of runs.
        words: the command line of `train.py`.
        log: file that its output is added to.
        memory: bytes that it is expected to need, on the GPU where it runs on one.
    """

    number: int
    words: tuple[str, ...]
    log: str
    memory: float


@dataclass(frozen=True)
class Started:
    """A run has begun.

    Attributes:
        number: that of its order.
    """

    number: int


@dataclass(frozen=True)
class Ended:
    """A run is over.

    Attributes:
        number: that of its order.
        code: exit code of `train.py`; of a run that was killed minus the signal.
        seconds: that it took, start to end.
        error: the last line of its output, where the code isn't 0.
    """

    number: int
    code: int
    seconds: float
    error: str


class Pool(Protocol):
    """Processes that carry orders out, several at once."""

    def submit(self, order: Order) -> None:
        """Take an order; earlier ones begin first."""

    def next_event(self, timeout: float) -> Started | Ended | None:
        """What happened next; None if nothing did in `timeout` seconds."""
