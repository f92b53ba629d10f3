"""Fixtures of the preparing tests: a local file server, and no limit of free space that the machine may not have."""

from collections.abc import Iterator

import pytest

from tests.preparing.file_server import FileServer, serving


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A local server, without files yet."""
    with serving({}) as told:
        yield told


@pytest.fixture(autouse=True)
def _little_space_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamm.preparing.archives.LEAST_FREE_BYTES", 0)
    monkeypatch.setattr("lamm.preparing.download.LEAST_FREE_BYTES", 0)
