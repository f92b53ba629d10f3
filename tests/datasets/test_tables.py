"""Lists as other programs write them: formats, columns, which of several columns counts, and hostile content."""

import codecs
import json
from pathlib import Path

import pytest

from lamm.datasets.tables import Table, read_table

PAIRS = [(f"d/{name}/{number}.png", name) for name in ("dark square", "light square") for number in range(2)]


def table_of(folder: Path, name: str, text: str | bytes) -> Table:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(folder / name)


def lines_of(header: str, separator: str = ",") -> str:
    return "\n".join([header, *(separator.join(pair) for pair in PAIRS)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", lines_of("file_name,label")),
        ("metadata.jsonl", "\n".join(json.dumps({"file_name": path, "label": label}) for path, label in PAIRS)),
        ("openclip.csv", lines_of("filepath\ttitle", "\t")),
        ("excel.csv", lines_of("sep=;\npath;label", ";")),
        ("semicolons.csv", lines_of("path;label", ";")),
        ("unicode.txt", codecs.BOM_UTF16_LE + lines_of("path\tlabel", "\t").encode("utf-16-le")),
        ("utf16be.csv", codecs.BOM_UTF16_BE + lines_of("path,label").encode("utf-16-be")),
        ("marked.csv", codecs.BOM_UTF8 + lines_of("path,label").encode()),
        ("impath.csv", lines_of("impath,classname")),
        ("kaggle.csv", lines_of("image_id,label")),
        ("words.csv", lines_of("Image Path,Class Name")),
        ("trailing.csv", "path,label,,\n" + "".join(f"{path},{label},,\n" for path, label in PAIRS)),
        ("array.json", json.dumps([{"image": path, "label": label} for path, label in PAIRS], indent=1)),
        ("separator.jsonl", "\n".join(json.dumps({"path": p, "label": name, "x": "\u2028\x85"}, ensure_ascii=False)
                                      for p, name in PAIRS)),
    ],
)  # fmt: skip
def test_lists_of_other_programs_are_read(name: str, text: str | bytes, tmp_path: Path) -> None:
    table = table_of(tmp_path, name, text)
    assert (table.error, table.broken) == ("", [])
    assert [(row.path, row.label) for row in table.rows] == PAIRS
    assert table.classes == ["dark square", "light square"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("partition", ("train", "valid", "Test")), ("phase", ("training", "dev", "testing")),
        ("fold", ("train", "val", "test")), ("part", ("train", "val", "test")),
    ],
)  # fmt: skip
def test_other_columns_that_hold_parts_are_splits(name: str, values: tuple[str, ...], tmp_path: Path) -> None:
    rows = "".join(f"{value}.jpg,x,{value}\n" for value in values)
    table = table_of(tmp_path, "list.csv", f"path,label,{name}\n{rows}")
    assert (table.error, [row.split for row in table.rows]) == ("", ["train", "val", "test"])
    rows = "".join(f"{number}.jpg,x,{number}\n" for number in range(5))
    assert {row.split for row in table_of(tmp_path, "list.csv", f"path,label,{name}\n{rows}").rows} == {""}


@pytest.mark.parametrize(
    ("name", "parts"),
    [("is_train", ("train", "test")), ("train", ("train", "test")), ("is_valid", ("val", "train")),
     ("Is Test", ("test", "train"))],
)  # fmt: skip
def test_booleans_say_the_part(name: str, parts: tuple[str, str], tmp_path: Path) -> None:
    for yes, no in (("1", "0"), ("True", "False"), ("1.0", "0.0")):
        table = table_of(tmp_path, "list.csv", f"path,label,{name}\na.jpg,x,{yes}\nb.jpg,x,{no}\n")
        assert (table.error, tuple(row.split for row in table.rows)) == ("", parts)
    rows = [{"path": "a.jpg", "label": "x", name: True}, {"path": "b.jpg", "label": "x", name: False}]
    assert tuple(row.split for row in table_of(tmp_path, "list.json", json.dumps(rows)).rows) == parts


def test_a_column_of_parts_under_another_name_is_refused(tmp_path: Path) -> None:
    text = "path,label,usage\na.jpg,x,Training\nb.jpg,y,dev\n"
    assert '"usage"' in table_of(tmp_path, "list.csv", text).error
    text = "path,label,usage,split\na.jpg,x,train,train\nb.jpg,y,test,val\n"
    assert '"usage"' in table_of(tmp_path, "list.csv", text).error
    assert table_of(tmp_path, "list.csv", "path,label,usage\na.jpg,x,train\nb.jpg,y,daily\n").error == ""


def test_lists_of_a_json_object_have_all_names_of_parts(tmp_path: Path) -> None:
    content = {"testing": picks()[:1], "Validation": picks()[1:2], "train_x": picks()[2:3], "classes": ["a", "b"]}
    table = table_of(tmp_path, "list.json", json.dumps(content))
    assert (table.error, [row.split for row in table.rows]) == ("", ["train", "val", "test"])


@pytest.mark.parametrize("known", [{}, {"train": [{"path": "b.jpg", "label": "x"}]}, {"train": []}])
def test_a_list_of_another_name_in_a_json_object_is_refused(known: dict, tmp_path: Path) -> None:
    table = table_of(tmp_path, "list.json", json.dumps({**known, "extra": [{"path": "a.jpg", "label": "x"}]}))
    assert '"extra"' in table.error


def picks(first: int = 0) -> list[dict[str, object]]:
    return [
        {"impath": path, "label": first + (label == "dark square"), "classname": label, "domain": 0}
        for path, label in PAIRS
    ]


def test_picks_of_public_repositories_are_read_with_their_parts(tmp_path: Path) -> None:
    content = {"train": picks()[:1] + picks()[2:3], "val": picks()[1:2], "test": []}
    table = table_of(tmp_path, "picks.json", json.dumps(content))
    assert [(row.path, row.split) for row in table.rows] == [
        ("d/dark square/0.png", "train"), ("d/light square/0.png", "train"), ("d/dark square/1.png", "val"),
    ]  # fmt: skip
    split = {part: [[row["impath"], row["label"], row["classname"]] for row in content[part]] for part in content}
    assert table_of(tmp_path, "split.json", json.dumps(split)).rows == table.rows


def test_words_win_over_numbers_which_give_the_order_and_it_is_told(tmp_path: Path) -> None:
    table = table_of(tmp_path, "picks.json", json.dumps(picks()))
    assert [row.label for row in table.rows] == [label for _, label in PAIRS]
    assert table.classes == ["light square", "dark square"]
    assert any('the words in "classname"' in note and '"label"' in note for note in table.notes)


def test_numbers_that_do_not_match_the_words_are_told_not_to_count(tmp_path: Path) -> None:
    text = "path,class_id,label\na.jpg,1,b\nb.jpg,2,b\nc.jpg,0,c\n"
    table = table_of(tmp_path, "list.csv", text)
    assert table.classes == ["b", "c"]
    assert any("not used" in note and '"class_id"' in note for note in table.notes)


def test_whole_numbers_lose_the_decimals_of_a_table_program(tmp_path: Path) -> None:
    table = table_of(tmp_path, "pandas.csv", "path,label\na.jpg,10.0\nb.jpg,0.0\nc.jpg,2.0\n")
    assert [row.label for row in table.rows] == ["10", "0", "2"]
    assert table.classes == ["0", "2", "10"]
    assert table_of(tmp_path, "a.json", '[{"path": "a", "label": 1.0}]').rows[0].label == "1"
    versions = table_of(tmp_path, "versions.csv", "path,label\na.jpg,1.0\nb.jpg,1.5\n")
    assert [row.label for row in versions.rows] == ["1.0", "1.5"]


def test_of_two_path_columns_the_one_with_file_names_counts_and_it_is_told(tmp_path: Path) -> None:
    table = table_of(tmp_path, "list.csv", "file,path,label\na.jpg,photos,x\nb.jpg,photos,y\n")
    assert [row.path for row in table.rows] == ["a.jpg", "b.jpg"]
    assert any('"file"' in note and '"path"' in note for note in table.notes)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("path,filename,label\nd/a.jpg,a.jpg,x\nd/b.jpg,b.jpg,y\n", ("path", "filename")),
        ("path,label,category\na.jpg,poodle,dog\nb.jpg,tabby,cat\n", ("label", "category")),
        ("path,label,class_id\na.jpg,0,7\nb.jpg,1,8\n", ("label", "class_id")),
        ("path,label,split,set\na.jpg,x,train,test\nb.jpg,y,test,train\n", ("split", "set")),
    ],
)
def test_a_list_that_stays_ambiguous_is_refused_with_both_columns(
    text: str, columns: tuple[str, str], tmp_path: Path
) -> None:
    error = table_of(tmp_path, "list.csv", text).error
    assert all(f'"{name}"' in error for name in columns)


def test_a_refused_list_names_its_columns_and_those_accepted(tmp_path: Path) -> None:
    for name, text in (("a.csv", "photo_url,label\nx,y\n"), ("a.json", '[{"photo_url": "x", "label": "y"}]')):
        error = table_of(tmp_path, name, text).error
        assert '"photo_url", "label"' in error
        assert "file_name" in error
        assert "classname" in error
    wide = ",".join(f"column {number} of many with a long name {'x' * 200}" for number in range(50))
    assert len(table_of(tmp_path, "b.csv", wide + "\n").error.removeprefix(str(tmp_path))) < 600


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[" * 100_000), ("a.json", '{"a":' * 100_000), ("a.json", "[" * 800 + "]" * 800),
        ("a.json", '[{"path": "a.jpg", "label": ' + "7" * 400 + "}]"),
        ("a.json", '[{"path": "a.jpg", "label": ' + "7" * 5000 + "}]"),
        ("a.json", '[{"path": "a.jpg", "label": NaN}]'), ("a.json", '[{"path": null, "label": "a"}]'),
        ("a.json", '[{"path": "a.jpg", "label": 1e999}]'), ("a.json", '[{"path": "a.jpg", "path": "b", "label": "a"}]'),
        ("a.json", '[{"path": "a\\u0000.jpg", "label": "a"}]'), ("a.json", '[{"path": "a.jpg", "label": "\\u0000"}]'),
        ("a.json", "[1, 2]"), ("a.json", '[[1, 2, 3]]'), ("a.json", "17"), ("a.json", "\0"), ("a.json", b"\xff\xfe"),
        ("a.jsonl", '{"path": "a.jpg", "label": ' + "[" * 100_000), ("a.jsonl", "7" * 10_000),
        ("a.csv", "path,label\na\0.jpg,b\n"), ("a.csv", f"path,label\n{'x' * 200_000},b\n"),
        ("a.csv", 'sep="\npath"label\n'), ("a.csv", "sep=\r\r\n"), ("a.csv", 'path,label\n"a.jpg'),
        ("a.csv", "path,label\n" + "," * 100_000), ("a.csv", b"\xff\xfe\xff"),
    ],
)  # fmt: skip
def test_hostile_content_is_told_and_nothing_is_raised(name: str, text: str | bytes, tmp_path: Path) -> None:
    table = table_of(tmp_path, name, text)
    assert table.rows == []
    for message in (table.error, *table.broken):
        assert len(message.removeprefix(str(tmp_path))) < 500
        assert "\n" not in message


def test_labels_of_very_many_digits_are_names(tmp_path: Path) -> None:
    many = "1" * 6000
    assert table_of(tmp_path, "a.csv", f"path,label\na.jpg,{many}\nb.jpg,2\n").classes == [many, "2"]
