"""`tools/check_data.py` as a user runs it."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.train_command import ROOT, call_tool

COUNTS = "train / val / test: 4,128 / 1,649 / 2,465, as expected"


def command(*words: object, data: Path | None = None) -> "subprocess.CompletedProcess[str]":
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATA", raising=False)
        if data is not None:
            patch.setenv("DATA", str(data))
        return call_tool("check_data", *words)


@pytest.fixture
def real_caltech() -> Path:
    """A data root with the real Caltech-101, from LAMM_TEST_DATA or beside the repository."""
    root = Path(os.environ.get("LAMM_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not (root / "caltech-101" / "101_ObjectCategories").is_dir():
        pytest.skip("no real Caltech-101: set LAMM_TEST_DATA to a data root with caltech-101/")
    return root


def test_the_real_caltech_is_whole_in_under_a_minute(real_caltech: Path) -> None:
    started = time.monotonic()
    done = command("caltech101", data=real_caltech)
    assert time.monotonic() - started < 60
    assert done.returncode == 0, done.stdout + done.stderr
    assert COUNTS in done.stdout
    assert "images decoded: 8,242" in done.stdout
    assert "fault" not in done.stdout


def test_all_prints_a_row_for_each_data_set_and_where_to_get_it(tmp_path: Path) -> None:
    done = command("--all", "--root", tmp_path)
    assert done.returncode == 1
    rows = [line for line in done.stdout.split("\n\n")[0].splitlines() if line.endswith("absent")]
    assert len(rows) == 15
    for text in ("caltech-101.zip (about 137 MB)", "ILSVRC2012_img_val.tar (about 6.7 GB)", "imagenet-rendition/"):
        assert text in done.stdout


def photos(folder: Path) -> Path:
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / name / f"{number}.jpg")
    return folder


def test_own_folders_and_tables(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    done = command("folder", "--root", folder)
    assert done.returncode == 0, done.stdout
    assert "note: 10 images in 2 classes" in done.stdout
    (tmp_path / "photos.csv").write_text("path,label\nphotos/cat/0.jpg,cat\nphotos/dog/9.jpg,dog\n", encoding="utf-8")
    done = command("csv", "--csv", tmp_path / "photos.csv")
    assert done.returncode == 1
    assert "fault: photos.csv: images missing (1): photos/dog/9.jpg (line 3)" in done.stdout
    shutil.rmtree(folder / "cat")
    assert command("folder", data=folder).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a data set, or --all for the fifteen of the benchmark"),
        (["caltech"], 'unknown data set "caltech"; did you mean "caltech101"?'),
        (["digits"], "digits makes itself when it is first used"),
        (["csv"], "data set csv needs --csv FILE"),
        (["dtd", "--csv", "a.csv"], "--csv is for data set csv"),
        (["dtd", "--workers", "0"], "must be a whole number from 1 up"),
        (["--al"], "did you mean --all?"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_data_root_that_does_not_exist_is_told(tmp_path: Path) -> None:
    done = command("dtd", "--root", tmp_path / "gone")
    assert done.returncode == 1
    assert done.stdout.startswith(f"The data root {tmp_path / 'gone'} does not exist")
