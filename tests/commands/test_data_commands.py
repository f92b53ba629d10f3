"""`lamm check-data` and `lamm prepare-data` as a user runs them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lamm.commands import prepare_data
from lamm.commands.parser import run
from lamm.datasets import sources
from tests.preparing.dataset_archives import MAKERS, small_source, write_archives, zipped
from tests.preparing.file_server import serving
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
        (["dtd", "--workers", "0"], "must be a whole number from 1 to 512"),
        (["dtd", "--quick", "--workers", "2"], "--workers is for decoding images"),
        (["mnist"], 'unknown data set "mnist". Known: '),
        (["--al"], "did you mean --all?"),
        (["--xyz"], "unrecognized arguments: --xyz; see"),
    ],
)
def test_mistakes_in_a_check_are_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_data_root_that_does_not_exist_is_told(tmp_path: Path) -> None:
    done = command("dtd", "--root", tmp_path / "gone")
    assert done.returncode == 1
    assert done.stdout.startswith(f"The data root {tmp_path / 'gone'} does not exist")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command in this process, so that it sees a small catalogue; gives its exit code."""
    monkeypatch.setitem(sys.modules, "gdown", None)

    def ran(name: str, *arguments: object, url_base: str = "") -> int:
        monkeypatch.setitem(sources.SOURCES, name, small_source(name, url_base))
        with pytest.raises(SystemExit) as ended:
            run(prepare_data.parser(), prepare_data.main, [name, *map(str, arguments)])
        return int(ended.value.code or 0)

    return ran


def test_without_files_it_says_what_to_get_and_writes_nothing(tmp_path: Path) -> None:
    done = call_tool("prepare_data", "dtd", "--root", tmp_path / "data")
    assert (done.returncode, done.stderr) == (1, "")
    assert "images                               is absent" in done.stdout
    assert "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz" in done.stdout
    assert f"lamm check-data dtd --root {tmp_path / 'data'}" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_archives_become_a_data_set(
    here: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archives = write_archives("dtd", tmp_path / "archives")
    assert here("dtd", "--root", tmp_path / "data", "--from", archives) == 0
    printed = capsys.readouterr().out
    assert "images: laid out, 8 images" in printed
    assert "images                               whole" in printed
    assert "split_zhou_DescribableTextures.json  is absent" in printed
    assert "1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x" in printed


def test_what_can_be_fetched_is(here: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(MAKERS["eurosat"]()) as server:
        assert here("eurosat", "--root", tmp_path / "data", "--download", url_base=server.base) == 0
    printed = capsys.readouterr()
    assert "2750: laid out, 8 images" in printed.out
    assert "not fetched: split_zhou_EuroSAT.json" in printed.err
    assert (tmp_path / "data" / "eurosat" / "2750" / "Forest" / "Forest_1.jpg").is_file()


def test_a_missing_required_part_is_exit_code_1(
    here: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archives = write_archives("stanford_cars", tmp_path / "archives")
    assert here("stanford_cars", "--root", tmp_path / "data", "--from", archives / "cars_train.tgz") == 1
    printed = capsys.readouterr().out
    assert "cars_train                      whole" in printed
    assert "cars_test                       is absent" in printed
    assert "dead since 2023" in printed


def test_a_damaged_archive_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "EuroSAT_cut.zip"
    file.write_bytes(zipped({"2750/Forest/Forest_1.jpg": b"x" * 1000})[:-50])
    done = call_tool("prepare_data", "eurosat", "--root", tmp_path / "data", "--from", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: EuroSAT_cut.zip is cut off")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["EuroSAT_cut.zip", "data"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eurosatt"], 'unknown data set "eurosatt"; did you mean "eurosat"?'),
        (["folder"], "folder is for your own images: there is nothing to prepare"),
        (["dtd", "--from", "gone.tar"], "no file at gone.tar"),
        (["dtd", "--form", "x"], "unrecognized arguments: --form x (did you mean --from?)"),
        (["dtd", "--root", __file__], "is a file; --root must be a folder"),
        ([], "the following arguments are required: DATASET"),
    ],
)
def test_mistakes_in_a_preparation_are_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = call_tool("prepare_data", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_demo_data_set_makes_itself() -> None:
    done = call_tool("prepare_data", "digits")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "digits makes itself when it is first used: there is nothing to prepare\n"
