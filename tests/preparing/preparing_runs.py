"""Running a preparation of one of the small data sets."""

from pathlib import Path

from small_sources import small_source

from lamm.preparing.preparation import Preparation


def prepared(name: str, root: Path, *given: Path) -> Preparation:
    preparation = Preparation(small_source(name), root)
    assert preparation.run(given) == []
    return preparation
