"""What a run leaves that never began: nothing, and nobody else's files are touched."""

from pathlib import Path

import pytest

from lamm.run.before import remove_mere_log


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "output"


def begun(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("log.txt", *names):
        (folder / name).write_text("x")
    return folder


def test_a_folder_with_a_log_alone_goes_with_the_empty_folders_above_it(runs: Path) -> None:
    other = begun(runs / "digits" / "shots_1" / "LAMM" / "cfg" / "seed1", "config.yaml")
    remove_mere_log(begun(runs / "digits" / "shots_1" / "CoOp" / "cfg" / "seed1"), runs)
    assert [path.name for path in (runs / "digits" / "shots_1").iterdir()] == ["LAMM"]
    assert other.is_dir()


def test_the_folder_of_all_runs_and_what_is_above_it_stay(runs: Path) -> None:
    remove_mere_log(begun(runs / "digits" / "seed1"), runs)
    assert list(runs.iterdir()) == []


def test_a_folder_elsewhere_goes_alone(tmp_path: Path, runs: Path) -> None:
    remove_mere_log(begun(tmp_path / "mine" / "run"), runs)
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("name", ["config.yaml", "results.json", "notes.txt"])
def test_a_folder_with_anything_else_stays_whole(runs: Path, name: str) -> None:
    folder = begun(runs / "digits" / "seed1", name)
    remove_mere_log(folder, runs)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["log.txt", name])
