"""Two processes never write to one run's folder; a dead one stands in nobody's way."""

import errno
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lamm.errors import ConfigError
from lamm.run.lock import LOCK_FILE, locked

HOLD = (
    "import sys, time; from pathlib import Path; from lamm.run.lock import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


@contextmanager
def another_process(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def take(folder: Path) -> None:
    with locked(folder):
        assert (folder / LOCK_FILE).exists()
    assert not (folder / LOCK_FILE).exists()


def test_a_folder_in_use_is_refused_with_the_process_and_a_killed_one_is_forgotten(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        with pytest.raises(ConfigError, match=rf"in use by process {process.pid} on .* --output-dir"):
            take(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / LOCK_FILE).exists()
        take(tmp_path)


def test_children_of_a_killed_process_do_not_hold_its_folder(tmp_path: Path) -> None:
    code = HOLD.replace("print", "import os; child = os.fork() or time.sleep(60); print")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    child = int(subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=True).stdout)
    process.kill()
    process.wait()
    take(tmp_path)
    os.kill(child, signal.SIGKILL)


def test_what_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/run"):
        with pytest.raises(ConfigError, match="is not a folder"):
            take(tmp_path / place)


def note(folder: Path, **changes: Any) -> None:
    """What a process writes into its lock file; this one's, unless changed."""
    with locked(folder):
        content = json.loads((folder / LOCK_FILE).read_text())
    (folder / LOCK_FILE).write_text(json.dumps({**content, **changes}))


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("changes", [{}, {"host": "elsewhere", "pid": 999999999}])
def test_on_a_disk_without_locks_what_runs_or_may_run_elsewhere_is_refused_with_what_to_do(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    note(tmp_path, **changes)
    with pytest.raises(ConfigError, match=f"if it runs no longer, remove {tmp_path / LOCK_FILE}"):
        take(tmp_path)


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    "changes", [{"pid": 999999999}, {"born": "another boot 1"}, {"born": "", "pid": "nonsense"}], ids=str
)
def test_on_a_disk_without_locks_a_gone_or_reused_process_or_a_damaged_note_is_none(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    note(tmp_path, **changes)
    take(tmp_path)


def test_a_process_that_died_on_another_machine_is_told(tmp_path: Path, log_lines: list[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("lamm.log.logger.warning", lambda text, *words: log_lines.append(text % words))
    note(tmp_path, host="elsewhere")
    assert platform.node() != "elsewhere"
    take(tmp_path)
    assert "on elsewhere" in log_lines[0]
