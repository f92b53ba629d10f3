"""Runs of train.py on the digits, by one process and by several."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lamm.clip.tiny as tiny_weights
from tests.parallel.processes import Outcome, Start, note_losses, train_together

load_weights = tiny_weights.load_weights


@functools.cache
def embedded_model() -> Any:
    return load_weights()


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parallel") / "data"


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory; the embedded model is read once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tiny_weights, "load_weights", lambda: copy.deepcopy(embedded_model()))
    embedded_model()


@pytest.fixture
def start(data_root: Path, tmp_path: Path) -> Start:
    """(folder, size, more arguments, before) → how each process ended. Every process notes its losses in the folder."""

    def started(folder: str, size: int, more: str, before: Callable[[int], None] | None = None) -> list[Outcome]:
        line = f"--dataset digits --root {data_root} --seed 1 --output-dir {folder} {more}"
        printed = tmp_path / f"printed-{folder}"
        printed.mkdir(exist_ok=True)

        def prepare(rank: int) -> None:
            note_losses(printed / f"losses{rank}")
            if before is not None:
                before(rank)

        return train_together(line, size, printed, prepare)

    return started
