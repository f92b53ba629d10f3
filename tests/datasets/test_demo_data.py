"""Data sets that make themselves: whole or not there, also with several processes or a killed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamm.datasets.demo import STAMP_FILE, materialise
from lamm.errors import DataError

FILES = 40


def build(folder: Path) -> None:
    for index in range(FILES):
        (folder / f"{index}.txt").write_text(str(os.getpid()))


def hidden_folders(root: Path) -> list[str]:
    return [entry.name for entry in root.iterdir() if entry.name.startswith(".")]


# Generous: on a busy machine four interpreters may take minutes to start.
SECONDS = 300


def python_process(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL)


def test_a_folder_is_made_with_its_parents_and_stamped(tmp_path: Path, logged: list[str]) -> None:
    materialise(tmp_path / "new" / "root" / "demo", 3, build)
    assert len(list((tmp_path / "new" / "root" / "demo").iterdir())) == FILES + 1
    stamp = json.loads((tmp_path / "new" / "root" / "demo" / STAMP_FILE).read_text())
    assert stamp == {"data_set": "demo", "generator_version": 3}
    assert hidden_folders(tmp_path / "new" / "root") == []
    assert "Making the data set in" in logged[0]


def test_a_folder_that_is_there_is_not_made_again(tmp_path: Path, logged: list[str]) -> None:
    materialise(tmp_path / "demo", 1, build)
    logged.clear()
    materialise(tmp_path / "demo", 1, lambda folder: pytest.fail("built twice"))
    assert logged == []


@pytest.mark.parametrize("found", [1, 3])
def test_another_version_on_disk_is_an_error(tmp_path: Path, found: int) -> None:
    materialise(tmp_path / "demo", found, build)
    with pytest.raises(
        DataError, match=f"holds version {found} of this data set, version 2 is needed; remove the fold"
    ):
        materialise(tmp_path / "demo", 2, build)


@pytest.mark.parametrize("stamp", [None, "", "[]", "{}"])
def test_a_foreign_folder_is_an_error_and_left_as_it_is(tmp_path: Path, stamp: str | None) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    if stamp is not None:
        (tmp_path / "demo" / STAMP_FILE).write_text(stamp)
    with pytest.raises(DataError, match="is not a data set made here"):
        materialise(tmp_path / "demo", 1, build)
    assert (tmp_path / "demo" / "mine.txt").read_text() == "mine"


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        build(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        materialise(tmp_path / "demo", 1, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"can't write the data set to .*demo: .*; give another --root") as error:
        materialise(tmp_path / "file" / "demo", 1, build)
    assert "\n" not in str(error.value)


def test_a_killed_build_is_not_taken_for_a_data_set(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from lamm.datasets.demo import materialise
def build(folder):
    (folder / "0.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
materialise(Path(sys.argv[1]), 1, build)
"""
    assert python_process(code, tmp_path / "demo").wait(timeout=SECONDS) != 0
    assert not (tmp_path / "demo").exists()
    assert len(hidden_folders(tmp_path)) == 1
    materialise(tmp_path / "demo", 1, build)
    assert len(list((tmp_path / "demo").iterdir())) == FILES + 1


def test_processes_that_build_at_once_end_with_one_whole_result(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from lamm.datasets.demo import materialise
root, number = Path(sys.argv[1]), sys.argv[2]
(root / f"building-{{number}}").touch()
def build(folder):
    # Nobody goes on before all are building, so that all of them come to the rename.
    deadline = time.monotonic() + {SECONDS}
    while len(list(root.glob("building-*"))) < 4:
        assert time.monotonic() < deadline, "the other processes never came"
        time.sleep(0.01)
    for index in range({FILES}):
        (folder / f"{{index}}.txt").write_text(str(os.getpid()))
materialise(root / "demo", 1, build)
assert len(list((root / "demo").iterdir())) == {FILES} + 1
"""
    processes = [python_process(code, tmp_path, number) for number in range(4)]
    try:
        assert [process.wait(timeout=2 * SECONDS) for process in processes] == [0, 0, 0, 0]
    finally:
        for process in processes:
            process.kill()
    builders = {file.read_text() for file in (tmp_path / "demo").glob("*.txt")}
    assert len(builders) == 1
    assert builders <= {str(process.pid) for process in processes}
    assert hidden_folders(tmp_path) == []
