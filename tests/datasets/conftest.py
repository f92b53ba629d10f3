"""Fixtures of the data set tests: a small data set on disk, and the place of real data if there is any."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]

# Labels out of order in the lists, class 1 with few images, and two labels (0, 2) with the same name.
TOY_NAMES = {0: "crane", 1: "flower_pot", 2: "crane", 3: "yo-yo", 4: "zebra"}
TOY_ORDER = (3, 0, 4, 1, 2)


def toy_entries(part: str, count: int) -> list[list]:
    """`count` entries a class (two for class 1), class by class in TOY_ORDER."""
    return [
        [f"{label}/{part}_{index}.jpg", label, TOY_NAMES[label]]
        for label in TOY_ORDER
        for index in range(2 if label == 1 else count)
    ]


@pytest.fixture
def toy_content() -> dict[str, list]:
    """What the toy data set's split file says."""
    return {"train": toy_entries("train", 6), "val": toy_entries("val", 5), "test": toy_entries("test", 3)}


@pytest.fixture
def toy_root(tmp_path: Path, toy_content: dict[str, list]) -> Path:
    """A data root that holds the toy data set in the folder `toy`."""
    root = tmp_path / "root"
    for path, _, _ in [entry for part in toy_content.values() for entry in part]:
        file = root / "toy" / "images" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(file)
    (root / "toy" / "split_toy.json").write_text(json.dumps(toy_content), encoding="utf-8")
    return root


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages logged during the test."""
    lines: list[str] = []
    monkeypatch.setattr("lamm.log.logger.info", lines.append)
    return lines


@pytest.fixture
def real_data() -> Path:
    """The folder with real benchmark data, from LAMM_TEST_DATA or beside the repository."""
    folder = Path(os.environ.get("LAMM_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set LAMM_TEST_DATA to a folder with splits/ and caltech-101/")
    return folder


@pytest.fixture
def real_split_file(real_data: Path) -> Callable[[str], Path]:
    """The path of the benchmark's split file of a data set, by registered name."""

    def find(name: str) -> Path:
        file = real_data / "splits" / f"split_zhou_{name}.json"
        if not file.is_file():
            pytest.skip(f"no {file.name} among the real data")
        return file

    return find
