"""Fixtures of the preparing tests: a local file server, and no limit of free space that the machine may not have."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, serving

sys.path.append(str(Path(__file__).parents[1] / "datasets"))  # for the miniature data sets


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A local server, without files yet."""
    with serving({}) as told:
        yield told


@pytest.fixture(autouse=True)
def _little_space_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamm.preparing.unpacking.LEAST_FREE_BYTES", 0)
    monkeypatch.setattr("lamm.preparing.downloading.LEAST_FREE_BYTES", 0)
