"""One run that is left to do, as plain data: what a schedule, a file or another machine needs of it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamm.sweep.order import Order

if TYPE_CHECKING:  # planning needs torch; who only carries jobs out does not
    from lamm.sweep.planned_run import PlannedRun

LOG_FILE = "stdout.txt"


@dataclass(frozen=True)
class Job:
    """A run that is left to do.

    Attributes:
        words: the command line of `train.py`; its paths are absolute.
        folder: the run's folder, as messages name it.
        output_dir: the same, absolute.
        method: its row in a table.
        dataset: its column.
        seconds: that it is expected to take.
        memory: bytes that it is expected to need.
    """

    words: tuple[str, ...]
    folder: str
    output_dir: str
    method: str
    dataset: str
    seconds: float
    memory: float

    @classmethod
    def of(cls, run: "PlannedRun", seconds: float, memory: float) -> "Job":
        """The job of a planned run."""
        place, plan = str(run.folder), run.plan
        return cls(run.words, place, str(plan.output_dir), run.method, plan.dataset, seconds, memory)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Job":
        """The job that `as_dict` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**{**content, "words": tuple(content["words"])})

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    def order(self, number: int, tries: int = 0) -> Order:
        """What a pool gets; each further try sets twice the memory aside."""
        return Order(number, self.words, str(Path(self.output_dir) / LOG_FILE), self.memory * 2**tries)
