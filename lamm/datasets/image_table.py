"""A table of images: a CSV file with a header, or JSONL with an object a line; columns path, label and split.

CSV may be separated by commas, semicolons or tabs. UTF-8, with or without a byte order mark. Other columns are left
alone. Paths use forward or backward slashes.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lamm.datasets.splits import is_text
from lamm.datasets.text_lists import numbered_lines
from lamm.errors import DataError

# Column → what it may be called, in lower case.
COLUMNS = {
    "path": ("path", "image", "file", "filename", "filepath", "image_path"),
    "label": ("label", "class", "classname", "class_name", "category"),
    "split": ("split", "set", "subset"),
}
SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
JSONL_SUFFIXES = (".jsonl", ".ndjson", ".json")


class TableRow(NamedTuple):
    """One image: its line in the file, path with forward slashes, label, and part ("" where the table has none)."""

    line: int
    path: str
    label: str
    split: str


def read_table(file: Path) -> list[TableRow]:
    """Every row of the table, in its order.

    Raises:
        DataError: the file can't be read, lacks a column or a value, has an unknown part, or names an image twice.
    """
    records = json_records(file) if file.suffix.lower() in JSONL_SUFFIXES else csv_records(file)
    rows = [table_row(record, line, file) for line, record in records]
    if not rows:
        raise DataError(f"{file} lists no image; expected rows of path,label[,split]")
    first_line: dict[str, int] = {}
    for row in rows:
        if first_line.setdefault(row.path, row.line) != row.line:
            raise DataError(f'{file}, line {row.line}: "{row.path}" is in line {first_line[row.path]} already')
    splits = {row.split for row in rows}
    if "" in splits and len(splits) > 1:
        blank = next(row.line for row in rows if not row.split)
        raise DataError(f"{file}, line {blank}: no split, but other lines have one; give all of them one, or none")
    return rows


def csv_records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a CSV file by the line they end on, as {column in lower case: text}.

    Raises:
        DataError: the file can't be read, or has no such columns.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            header = opened.readline()
            opened.seek(0)
            delimiter = max(",;\t", key=header.count)
            reader = csv.DictReader(opened, delimiter=delimiter, strict=True)
            reader.fieldnames = _columns(reader.fieldnames or [], file)
            for record in reader:
                if None in record:
                    rest = delimiter.join(record[None])  # type: ignore[call-overload]
                    raise DataError(
                        f'{file}, line {reader.line_num}: more values than columns ("{rest[:80]}"); '
                        f'a value with "{delimiter}" in it goes into quotation marks'
                    )
                yield reader.line_num, record
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{file} is not a CSV file ({error}); mend it") from None
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}") from None


def _columns(header: Sequence[str], file: Path) -> list[str]:
    """The columns' names in lower case, if they are what a table of images needs."""
    columns = [str(name).strip().lower() for name in header]
    for column in ("path", "label"):
        if not set(columns) & set(COLUMNS[column]):
            raise DataError(f"{file} has no column {column}; its first line must be path,label or path,label,split")
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{file} has two columns "{twice}"; rename or remove one')
    return columns


def json_records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file by their line, with keys in lower case.

    Raises:
        DataError: the file can't be read, or a line is no object.
    """
    for number, line in numbered_lines(file):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise DataError(f'{file}, line {number}: expected {{"path": "…", "label": "…"}}, found {line[:80]}')
        yield number, {str(key).lower(): value for key, value in record.items()}


def table_row(record: Mapping[str, Any], line: int, file: Path) -> TableRow:
    """A record as a row.

    Raises:
        DataError: it lacks a path or label, or its part is unknown.
    """
    values = {column: _value(record, names) for column, names in COLUMNS.items()}
    for column in ("path", "label"):
        if not is_text(values[column]) or "\0" in values[column]:
            raise DataError(f"{file}, line {line}: no {column}; expected path,label[,split]")
    if values["split"] and values["split"].lower() not in SPLITS:
        raise DataError(f'{file}, line {line}: the split "{values["split"]}" is none of train, val, test')
    path = values["path"].replace("\\", "/").removeprefix("./")
    return TableRow(line, path, values["label"], SPLITS.get(values["split"].lower(), ""))


def _value(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The text in the column with one of these names; numbers as they are written, "" where there is nothing."""
    value = next((record[name] for name in names if name in record), None)
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
