"""Mistakes in a CSV or JSONL list of images: each is one line that names the file and the line in it."""

import json
from pathlib import Path

import pytest

from lamm.datasets import dataset_class
from lamm.errors import DataError
from tests.datasets.miniature_files import write_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path, [f"{name}{number}.jpg" for name in "ab" for number in range(5)])
    return tmp_path


def message_of(file: Path) -> str:
    with pytest.raises(DataError, match=r".") as error:
        dataset_class("csv")(csv=file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)
    assert not list(file.parent.glob("split_*"))
    return str(error.value)


def good_rows(part: str = "") -> list[str]:
    return [f"{name}{number}.jpg,{name}{part}" for name in "ab" for number in range(5)]


def csv_of(folder: Path, lines: list[str]) -> Path:
    (folder / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "list.csv"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a0.jpg,", ["label"]),
        ("a9.jpg", ["label"]),
        (",a", ["path"]),
        (" ,a", ["path"]),
        ("a0.jpg,b", ["a0.jpg", "line 2"]),
        ("./a0.jpg,a", ["a0.jpg", "line 2"]),
        ("a5.jpg,red, big and heavy", ["big and heavy"]),
    ],
    ids=["no label", "one field", "no path", "blank path", "twice", "twice with a dot", "a comma too many"],
)
def test_a_wrong_row_is_named_with_its_line(row: str, words: list[str], folder: Path) -> None:
    write_images(folder, ["a5.jpg"])
    message = message_of(csv_of(folder, ["path,label", *good_rows(), row]))
    assert "line 12" in message
    assert all(word in message for word in words)


def test_blank_lines_count_as_lines(folder: Path) -> None:
    rows = good_rows()
    assert "line 15" in message_of(csv_of(folder, ["path,label", "", *rows[:5], "", "", *rows[5:], "a0.jpg,"]))


def test_lines_within_quotes_count_as_lines(folder: Path) -> None:
    quoted = '"a5.jpg","a\nname of\nthree lines"'
    write_images(folder, ["a5.jpg"])
    message = message_of(csv_of(folder, ["path,label", quoted, *good_rows(), "b9.jpg,"]))
    assert "line 15" in message


@pytest.mark.parametrize("part", ["trainval"])
def test_an_unknown_part_is_named_with_its_line(part: str, folder: Path) -> None:
    rows = [*good_rows(",train"), f"a5.jpg,a,{part}"]
    message = message_of(csv_of(folder, ["path,label,split", *rows]))
    assert "line 12" in message
    assert f'"{part}"' in message
    assert "train, val, test" in message


def test_a_part_that_only_some_rows_have_is_refused(folder: Path) -> None:
    rows = good_rows(",train")
    rows[4] = "a4.jpg,a,"
    assert "line 6" in message_of(csv_of(folder, ["path,label,split", *rows]))


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_without_training_image_is_named_with_its_line(part: str, folder: Path) -> None:
    write_images(folder, ["c.jpg"])
    message = message_of(csv_of(folder, ["path,label,split", *good_rows(",train"), f"c.jpg,stranger,{part}"]))
    assert "line 12" in message
    assert "stranger" in message


@pytest.mark.parametrize(
    "header", ["a0.jpg,a", "path,name", "label,split", "path|label"],
)  # fmt: skip
def test_a_header_without_path_and_label_is_refused(header: str, folder: Path) -> None:
    message = message_of(csv_of(folder, [header, *good_rows()]))
    assert "path" in message
    assert "label" in message


@pytest.mark.parametrize("text", ["", "path,label\n\n"])
def test_a_list_of_nothing_is_refused(text: str, folder: Path) -> None:
    (folder / "list.csv").write_text(text, encoding="utf-8")
    assert message_of(folder / "list.csv")


def test_a_single_class_is_refused(folder: Path) -> None:
    assert '"a"' in message_of(csv_of(folder, ["path,label", *good_rows()[:5]]))


def test_a_single_image_of_every_class_is_refused(folder: Path) -> None:
    (folder / "list.csv").write_text("path,label\na0.jpg,a\nb0.jpg,b\n")
    with pytest.raises(DataError, match=r"test"):
        dataset_class("csv")(csv=folder / "list.csv")
    assert not list(folder.glob("split_*"))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_refused_with_the_remedy(encoding: str, folder: Path) -> None:
    text = "path,label\n" + "\n".join(good_rows()) + "\na5.jpg,Kätzchen\n"
    (folder / "list.csv").write_bytes(text.encode(encoding))
    assert "UTF-8" in message_of(folder / "list.csv")


def test_a_quote_that_never_ends_is_refused(folder: Path) -> None:
    message_of(csv_of(folder, ["path,label", *good_rows(), '"a5.jpg,a']))


def test_a_field_longer_than_any_name_is_refused(folder: Path) -> None:
    message_of(csv_of(folder, ["path,label", *good_rows(), f'"{"x" * 200_000}",a']))


def test_a_column_that_comes_twice_is_refused(folder: Path) -> None:
    rows = [f"{row},{'ab'[number % 2]}" for number, row in enumerate(good_rows())]
    assert "label" in message_of(csv_of(folder, ["path,label,label", *rows]))


@pytest.mark.parametrize("name", ["a\0b.jpg", "\0"])
def test_a_path_that_no_file_can_have_is_refused(name: str, folder: Path) -> None:
    message_of(csv_of(folder, ["path,label", *good_rows(), f"{name},a"]))


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", '{"path": "a5.jpg"}', '{"label": "a"}', '{"path": "a5.jpg", "label": ""}',
        '{"path": "a5.jpg", "label": true}', '{"path": "a5.jpg", "label": ["a"]}', '{"path": null, "label": "a"}',
        '{"path": "a5.jpg", "label": "a", "split": "tests"}', '{"path": "a0.jpg", "label": "a"}', "[" * 5000,
        '{"path": "a5.jpg", "label": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_wrong_line_of_jsonl_is_named_with_its_number(line: str, folder: Path) -> None:
    good = [json.dumps({"path": f"{name}{number}.jpg", "label": name}) for name in "ab" for number in range(5)]
    (folder / "list.jsonl").write_text("\n".join([*good[:2], "", line, *good[2:]]), encoding="utf-8")
    assert "line 4" in message_of(folder / "list.jsonl") or '"a0.jpg"' in line


def test_a_json_array_is_refused_with_the_form_that_is_expected(folder: Path) -> None:
    good = [{"path": f"{name}{number}.jpg", "label": name} for name in "ab" for number in range(5)]
    (folder / "list.json").write_text(json.dumps(good))
    assert '"path"' in message_of(folder / "list.json")
