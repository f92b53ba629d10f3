"""What the runs of these tests leave to be compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lamm_trainers.base as base

from tests.parallel.processes import Outcome

Start = Callable[..., list[Outcome]]


def note_losses(file: Path) -> None:
    """Have this process's trainer write the parts of each step's loss, a line a step."""
    step = base.PromptTrainer.forward_backward

    def noted(self: base.PromptTrainer, batch: dict[str, Any]) -> dict[str, Any]:
        shown = step(self, batch)
        with file.open("a") as lines:
            lines.write(json.dumps({name: float(value) for name, value in shown.items()}) + "\n")
        return shown

    base.PromptTrainer.forward_backward = noted  # type: ignore[method-assign]


def losses(folder: str, rank: int = 0) -> list[dict[str, float]]:
    """What `start` noted."""
    return [json.loads(line) for line in Path(f"printed-{folder}/losses{rank}").read_text().splitlines()]


def metrics(folder: str) -> dict[str, float]:
    """Of a finished run."""
    results = json.loads(Path(folder, "results.json").read_text())
    assert results["status"] == "finished"
    found: dict[str, float] = results["metrics"]
    return found
