"""Which files the arguments of a command mean."""

import os
from pathlib import Path

import pytest

from lamm.inference.photos import Unreadable, find_photos


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def test_files_come_in_their_order_whatever_their_ending() -> None:
    touch("b.jpg", "a.dat", "kein Bild.ü")
    assert find_photos(["b.jpg", "a.dat", "kein Bild.ü"]) == (["b.jpg", "a.dat", "kein Bild.ü"], [])


def test_a_folder_stands_for_all_photos_below_it_sorted() -> None:
    touch("p/b.JPG", "p/a.png", "p/unter ordner/ä.webp", "p/notes.txt", "p/.hidden.png", "p/.cache/c.png")
    touch("p/__MACOSX/d.png", "p/a.png.txt", "p/telefon.HEIC")
    found = find_photos(["p"])
    assert found.files == ["p/a.png", "p/b.JPG", "p/telefon.HEIC", "p/unter ordner/ä.webp"]
    assert found.missing == []


def test_patterns_that_no_shell_expanded_are_expanded_sorted() -> None:
    touch("p/2.png", "p/1.png", "p/1.txt", "p/q/3.png", "p/.hidden.png")
    assert find_photos(["p/*.png"]).files == ["p/1.png", "p/2.png"]
    assert find_photos(["p/?.t*"]).files == ["p/1.txt"]
    assert find_photos(["p/[2-9].png"]).files == ["p/2.png"]
    assert find_photos(["**/*.png"]).files == ["p/1.png", "p/2.png", "p/q/3.png"]


def test_a_pattern_that_matches_a_folder_stands_for_its_photos() -> None:
    touch("day 1/a.png", "day 1/notes.txt", "day 2/b.png")
    assert find_photos(["day*"]).files == ["day 1/a.png", "day 2/b.png"]


def test_a_name_that_looks_like_a_pattern_is_the_file_of_that_name() -> None:
    touch("photo[1].png", "photo1.png", "what?.png")
    assert find_photos(["photo[1].png", "what?.png"]).files == ["photo[1].png", "what?.png"]


def test_a_photo_that_is_meant_twice_counts_once() -> None:
    touch("p/a.png", "p/b.png")
    assert find_photos(["p/b.png", "p", "./p/a.png", os.path.abspath("p/b.png")]).files == ["p/b.png", "p/a.png"]


def test_what_means_nothing_is_listed_and_the_rest_is_found() -> None:
    touch("a.png", "empty/notes.txt")
    found = find_photos(["nowhere.png", "a.png", "empty", "*.gif"])
    assert found.files == ["a.png"]
    assert found.missing == [
        Unreadable("nowhere.png", "no such file or folder"),
        Unreadable("empty", "holds no photos"),
        Unreadable("*.gif", "matches no file"),
    ]


def test_a_link_to_nothing_is_a_file_to_try() -> None:
    os.symlink("gone.png", "link.png")
    assert find_photos(["link.png"]) == (["link.png"], [])


def test_linked_folders_are_followed_each_once() -> None:
    touch("p/a.png", "elsewhere/b.png")
    os.symlink(os.path.abspath("p"), "p/loop")
    os.symlink(os.path.abspath("elsewhere"), "p/linked")
    assert find_photos(["p"]).files == ["p/a.png", "p/linked/b.png"]


def test_the_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch("a.png")
    assert find_photos(["~/a.png", "~/*.png"]).files == [str(tmp_path / "a.png")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_told() -> None:
    touch("p/a.png", "p/closed/b.png")
    os.chmod("p/closed", 0)
    found = find_photos(["p"])
    os.chmod("p/closed", 0o700)
    assert found.files == ["p/a.png"]
    assert found.missing == [Unreadable("p/closed", "can't be listed: Permission denied")]


def test_a_line_about_a_photo_names_it_once_and_stays_one_line() -> None:
    assert Unreadable("a.png", "no such file").line() == "a.png: no such file"
    assert Unreadable("a.png", '"a.png" is no image').line() == '"a.png" is no image'
    assert Unreadable("a\nb\tü\udcff.png", "bad").line() == "a\\nb\\tü\\udcff.png: bad"
