"""Files are whole or absent, whatever happens to the process or the disk; leftovers of killed processes go."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from lamm.files import atomic_path, exclusive, remove_leftovers, temporary_beside, with_sorted_metadata, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_full_disk_leaves_the_file_from_before_and_the_error_names_it(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_text(file, "before")

    def fill_the_disk() -> None:
        with atomic_path(file) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        fill_the_disk()
    assert caught.value.filename == str(file)
    assert (file.read_text(), names(tmp_path)) == ("before", ["results.json"])


def test_the_name_of_another_file_stays_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "copy"):
        (tmp_path / "missing").read_bytes()
    assert caught.value.filename == str(tmp_path / "missing")


def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_leftovers_of_a_killed_process_go_and_what_is_in_use_or_a_users_stays(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from lamm.files import temporary_beside\n"
        "with temporary_beside(Path('digits'), folder=True) as a, temporary_beside(Path('file')) as b:\n"
        "    (a / 'half').write_text(''); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    (tmp_path / ".mine.tmp").write_text("")
    with temporary_beside(tmp_path / "digits", folder=True) as folder, temporary_beside(tmp_path / "file") as file:
        remove_leftovers(tmp_path)
        assert names(tmp_path) == sorted([".mine.tmp", folder.name, file.name])
    assert names(tmp_path) == [".mine.tmp"]


def test_without_locks_only_old_leftovers_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    old, new = tmp_path / ".old.0123abcd.tmp", tmp_path / ".new.0123abcd.tmp"
    for file in (old, new):
        file.write_text("half")
    os.utime(old, (0, 0))
    write_text(tmp_path / "file", "")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [new.name, "file"]


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path: Path) -> None:
    tensors, metadata = {"a": torch.ones(3), "b": torch.zeros(2)}, {f"key{place}": "é" for place in range(9)}
    content = with_sorted_metadata(save(tensors, metadata))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == sorted(metadata)
    (tmp_path / "file").write_bytes(content)
    with safe_open(tmp_path / "file", framework="pt") as opened:
        assert opened.metadata() == metadata
        assert torch.equal(opened.get_tensor("a"), tensors["a"])


def test_who_comes_second_reads_what_the_first_has_written(tmp_path: Path) -> None:
    file = tmp_path / "count"
    file.write_text("0")

    def add_one() -> None:
        with exclusive(file):
            number = int(file.read_text())
            time.sleep(0.01)
            write_text(file, str(number + 1))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(add_one) for _ in range(12)]:
            done.result()
    assert file.read_text() == "12"
    with exclusive(tmp_path / "nothing"):
        pass
    with ThreadPoolExecutor(1) as pool, exclusive(file):
        waiting = pool.submit(add_one)
        time.sleep(0.05)
        file.unlink()  # while another waits for it
    assert isinstance(waiting.exception(), FileNotFoundError)
