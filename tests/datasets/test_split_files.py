"""Reading, checking and writing split files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lamm.datasets.splits import Split, SplitItem, check_labels, hash_of_split, read_split, split_as_text, write_split
from lamm.errors import DataError

FORMATTED = """{
    "train": [
        [
            "a/1.jpg",
            0,
            "caf\\u00e9"
        ]
    ],
    "val": [],
    "test": [
        [
            "a/2.jpg",
            0,
            "caf\\u00e9"
        ]
    ]
}"""
CAFE = Split([SplitItem("a/1.jpg", 0, "café")], [], [SplitItem("a/2.jpg", 0, "café")])


def file_with(tmp_path: Path, entry: Any) -> Path:
    file = tmp_path / "split.json"
    file.write_text(json.dumps({"train": [["a.jpg", 0, "a"], entry], "val": [], "test": []}))
    return file


def test_a_split_is_written_in_the_benchmark_format(tmp_path: Path) -> None:
    write_split(tmp_path / "split.json", CAFE)
    assert (tmp_path / "split.json").read_bytes() == FORMATTED.encode("ascii")


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    write_split(tmp_path / "split.json", CAFE)
    assert read_split(tmp_path / "split.json") == CAFE


def test_the_order_of_entries_is_kept(tmp_path: Path, toy_content: dict[str, list]) -> None:
    (tmp_path / "split.json").write_text(json.dumps(toy_content))
    assert [list(item) for item in read_split(tmp_path / "split.json").train] == toy_content["train"]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(FORMATTED, encoding="utf-8-sig")
    assert read_split(tmp_path / "split.json") == CAFE


def test_the_hash_is_of_what_the_split_says_not_of_its_white_space(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps(json.loads(FORMATTED)))
    assert hash_of_split(read_split(tmp_path / "split.json")) == hashlib.sha256(FORMATTED.encode()).hexdigest()


def test_the_hash_changes_with_the_order() -> None:
    items = [SplitItem("a.jpg", 0, "a"), SplitItem("b.jpg", 0, "a")]
    assert hash_of_split(Split(items, [], items)) != hash_of_split(Split(items[::-1], [], items))


@pytest.mark.parametrize(
    ("written", "read"),
    [("a\\b\\1.jpg", "a/b/1.jpg"), ("./a/1.jpg", "a/1.jpg"), ("a//1.jpg", "a/1.jpg"), ("a/../b/1.jpg", "b/1.jpg")],
)
def test_paths_become_plain_posix_paths(tmp_path: Path, written: str, read: str) -> None:
    assert read_split(file_with(tmp_path, [written, 0, "a"])).train[1].path == read


@pytest.mark.parametrize("path", ["/etc/passwd", "C:\\a\\1.jpg", "\\\\host\\share\\1.jpg"])
def test_absolute_paths_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the path .* is absolute"):
        read_split(file_with(tmp_path, [path, 0, "a"]))


@pytest.mark.parametrize("path", ["../1.jpg", "a/../../1.jpg", "..\\..\\1.jpg", "a/.."])
def test_paths_that_leave_the_image_folder_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the path .* leaves the image folder"):
        read_split(file_with(tmp_path, [path, 0, "a"]))


@pytest.mark.parametrize("path", ["  ", None, "a\0.jpg", "\ud800.jpg"])
def test_paths_that_no_file_can_have_are_refused(tmp_path: Path, path: Any) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the path .* is not a file name"):
        read_split(file_with(tmp_path, [path, 0, "a"]))


@pytest.mark.parametrize(
    "entry", [["a.jpg", 0], ["a.jpg", 0, "a", "b"], {"path": "a.jpg"}, "a.jpg", None, [["a.jpg", 0, "a"]]]
)
def test_an_entry_that_is_not_a_triple_is_refused(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(DataError, match=r"split.json, train\[1\]: expected \[path, label, class name\]"):
        read_split(file_with(tmp_path, entry))


@pytest.mark.parametrize("label", [-1, 0.5, True, None, "one", float("nan"), "²"])
def test_a_label_that_is_not_a_whole_number_is_refused(tmp_path: Path, label: Any) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the label .* is not a whole number"):
        read_split(file_with(tmp_path, ["b.jpg", label, "b"]))


@pytest.mark.parametrize("label", [7, 7.0, "7"])
def test_a_label_may_be_written_as_text_or_float(tmp_path: Path, label: Any) -> None:
    item = read_split(file_with(tmp_path, ["b.jpg", label, "b"])).train[1]
    assert (item.label, type(item.label)) == (7, int)


@pytest.mark.parametrize("name", [" ", 5, "\udc80"])
def test_an_empty_class_name_is_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the class name .* is not a text"):
        read_split(file_with(tmp_path, ["b.jpg", 0, name]))


@pytest.mark.parametrize(
    "text", ["", "{", '{"train": [', "[" * 100_000, '{"train": 1' + "0" * 5000 + "}", "\xff\xfe\xff"]
)
def test_malformed_json_is_named_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"split.json is not a split file") as error:
        read_split(tmp_path / "split.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not a JSON object"),
        ('{"train": [], "val": []}', '"test"'),
        ('{"train": {}, "val": [], "test": []}', '"train"'),
    ],
)
def test_json_that_is_not_a_split_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "split.json")


def test_a_missing_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no split file at .*nowhere.json"):
        read_split(tmp_path / "nowhere.json")


def test_a_folder_in_place_of_a_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read the split file .*directory"):
        read_split(tmp_path)


def split_of(train: list[tuple[int, str]], test: list[tuple[int, str]]) -> Split:
    parts = [[SplitItem(f"{name}{i}.jpg", label, name) for i, (label, name) in enumerate(p)] for p in (train, test)]
    return Split(parts[0], [], parts[1])


def test_two_labels_may_share_a_name() -> None:
    check_labels(split_of([(0, "missile"), (1, "missile")], [(0, "missile")]), "split.json")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([(0, "a"), (2, "c")], [(0, "a")], "split.json has no training image of label 1"),
        ([(1, "b"), (2, "c")], [(1, "b")], "no training image of label 0"),
        ([(0, "a"), (10**12, "b")], [(0, "a")], "no training image of label 1;"),
        ([(0, "a"), (0, "b")], [(0, "a")], 'label 0 has two names in split.json: "a" and "b"'),
        ([(0, "a")], [(0, "A")], 'label 0 has two names in split.json: "a" and "A"'),
        ([(0, "a")], [(1, "b")], '"b0.jpg" in split.json has label 1, which no training image has'),
        ([], [(0, "a")], 'the list "train" of split.json is empty'),
        ([(0, "a")], [], 'the list "test" of split.json is empty'),
    ],
)
def test_labels_that_do_not_make_a_class_list_are_refused(train: list, test: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_labels(split_of(train, test), "split.json")


def test_text_of_a_split_has_no_trailing_newline() -> None:
    assert split_as_text(CAFE) == FORMATTED
