"""Files that appear in a folder together."""

from contextlib import suppress
from pathlib import Path

import pytest

from lamm.errors import ConfigError
from lamm.inference.export import files_made_together

NAMES = ("a", "b", "c")


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_files_appear_when_all_are_made(tmp_path: Path) -> None:
    with files_made_together(tmp_path / "new" / "folder", NAMES) as made:
        (made / "a").write_text("1")
        assert not (tmp_path / "new" / "folder" / "a").exists()
        (made / "b").write_text("2")
    assert contents(tmp_path / "new" / "folder") == {"a": "1", "b": "2"}


def test_those_of_before_are_replaced_or_removed_and_others_stay(tmp_path: Path) -> None:
    for name in ("a", "c", "notes"):
        (tmp_path / name).write_text("before")
    with files_made_together(tmp_path, NAMES) as made:
        (made / "a").write_text("now")
    assert contents(tmp_path) == {"a": "now", "notes": "before"}


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    with suppress(RuntimeError), files_made_together(tmp_path, NAMES) as made:
        (made / "a").write_text("half")
        raise RuntimeError
    assert contents(tmp_path) == {"a": "before"}


def test_a_failure_leaves_no_new_folder(tmp_path: Path) -> None:
    with suppress(RuntimeError), files_made_together(tmp_path / "new", NAMES):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    together = files_made_together(tmp_path / "file", NAMES)
    with pytest.raises(ConfigError, match="file is a file: give a folder"):
        together.__enter__()
