"""`tools/prepare_data.py` as a user runs it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.commands import prepare_data
from lamm.commands.parser import run
from lamm.datasets import sources
from tests.preparing.dataset_archives import MAKERS, write_archives, zipped
from tests.preparing.file_server import serving
from tests.preparing.small_sources import small_source

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_data.py"


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, encoding="utf-8", check=False)


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
    done = command("dtd", "--root", tmp_path / "data")
    assert (done.returncode, done.stderr) == (1, "")
    assert "images                               is absent" in done.stdout
    assert "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz" in done.stdout
    assert f"python tools/check_data.py dtd --root {tmp_path / 'data'}" in done.stdout
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
    done = command("eurosat", "--root", tmp_path / "data", "--from", file)
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
        (["dtd", "--root", str(TOOL)], "is a file; --root must be a folder"),
        ([], "the following arguments are required: DATASET"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_demo_data_set_makes_itself() -> None:
    done = command("digits")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "digits makes itself when it is first used: there is nothing to prepare\n"
