"""Running a preparation of one of the small data sets."""

from pathlib import Path

from lamm.preparing.prepare import Preparation
from tests.preparing.small_sources import small_source


def prepared(name: str, root: Path, *given: Path) -> Preparation:
    preparation = Preparation(small_source(name), root)
    assert preparation.run(given) == []
    return preparation
