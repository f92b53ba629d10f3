"""`lamm fit`, `add`, `update`, `merge`, and `predict` with a classifier file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lamm
from tests.estimator.small_photos import COLOURS, NAMES, photo
from tests.train_command import call_tool


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of three classes, and one of a fourth."""
    top, generator = tmp_path_factory.mktemp("command"), np.random.default_rng(1)
    for name, colour in zip(NAMES, COLOURS, strict=True):
        place = top / ("photos" if name != NAMES[3] else "more") / name
        place.mkdir(parents=True)
        for number in range(5):
            Image.fromarray(photo(colour, generator)).save(place / f"{number}.png")
    return top / "photos", top / "more" / NAMES[3]


def done(*words: Any) -> str:
    answer = call_tool(*words)
    assert answer.returncode == 0, answer.stderr
    return str(answer.stdout)


def test_a_classifier_is_fitted_grown_merged_and_used(places: tuple[Path, Path], tmp_path: Path) -> None:
    photos, fourth = places
    file, other = tmp_path / "a.lamm", tmp_path / "b.lamm"
    options = ["--backbone", "tiny", "--folds", 2, "--settings", "OPTIM.MAX_EPOCH", 4]
    said = done("fit", photos, "-o", file, *options)
    assert "3 classes" in said
    assert "LAMM_GDA" in said
    assert f'new class "{NAMES[3]}": 5 photos' in done("add", file, fourth, "-o", other)
    assert lamm.load(file).classes_.tolist() == sorted(NAMES[:3])
    assert lamm.load(other).classes_.tolist() == [*sorted(NAMES[:3]), NAMES[3]]
    assert "nothing is new" in done("update", other, photos)
    assert "7 classes" in done("merge", file, other, "-o", tmp_path / "c.lamm", "--same", "apart")
    lines = done("predict", other, fourth, "--min-confidence", 0, "--unknown").splitlines()
    assert len(lines) == 5
    # What the file does not know is said to be unknown; what is not sure enough too.
    strange = done("predict", file, fourth, "--min-confidence", "1").splitlines()
    assert all("unknown" in line for line in strange)


def test_mistakes_are_one_line_and_exit_code_2(places: tuple[Path, Path], tmp_path: Path) -> None:
    photos, fourth = places
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    for words in (
        ("fit", fourth, "-o", tmp_path / "x.lamm", "--backbone", "tiny"),
        ("fit", photos, "-o", mine, "--backbone", "tiny"),
        ("fit", photos, "-o", tmp_path / "x.lamm", "--backbone", "tiny", "--method", "LAMMM"),
        ("add", tmp_path / "none.lamm", fourth),
        ("add", mine, photos),
        ("merge", mine, "-o", tmp_path / "x.lamm"),
        ("update", mine, photos),
        ("predict", mine, photos),
    ):
        answer = call_tool(*words)
        assert answer.returncode == 2, words
        assert answer.stderr.count("\n") == 1, answer.stderr
    assert mine.read_text() == "mine"
