"""A user's own list of images: a CSV or JSONL file with the columns path, label and, optionally, split."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lamm.datasets.own_images import OwnDataset, pretty_names
from lamm.datasets.splits import PARTS, Split, SplitItem, is_text
from lamm.datasets.splitters import numbered_lines
from lamm.errors import ConfigError, DataError
from lamm.files import json_object

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
            record = json_object(line)
        except ValueError:
            raise DataError(
                f'{file}, line {number}: expected {{"path": "…", "label": "…"}}, found {line[:80]}'
            ) from None
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


class Csv(OwnDataset):
    """The images of a CSV or JSONL file, with paths relative to it; see `COLUMNS`.

    Labels are class names, any text; they are numbered in the order of the alphabet (of whole numbers, by value).
    `classnames.txt` beside the file may give better names. Without a `split` column the split is made here
    (`complete_split`) and stored in `split_lamm_<name of the file>.json` beside it.

    Args:
        cfg: the engine's config: DATASET.CSV is the file, or DATASET.ROOT where that is a file.
        csv: the file, without a config.
        options: further arguments of `BenchmarkDataset`.
    """

    def __init__(self, cfg: Any = None, *, csv: str | os.PathLike[str] = "", **options: Any) -> None:
        super().__init__(cfg, **({"root": csv, **options} if csv else options))

    def locate(self, root: str | os.PathLike[str], cfg: Any = None) -> None:
        """Set `file` (DATASET.CSV, else the data root), and the folder that it and its paths are in."""
        csv = getattr(cfg.DATASET, "CSV", "") if cfg is not None else ""
        self.file = Path(os.path.abspath(os.path.expanduser(csv or root)))
        self.folder = self.image_folder = self.file.parent

    @property
    def own_split_file(self) -> str:
        """Name of the file that stores a split made here."""
        return f"split_lamm_{self.file.stem}.json"

    def split_source(self) -> Path:
        """The file, for messages."""
        return self.file

    def check_folders(self) -> None:
        """Raise an error unless the file is there."""
        if self.file.is_dir():
            raise ConfigError(
                f"data set csv needs --csv FILE (DATASET.CSV), a CSV or JSONL file; {self.file} is a folder"
            )
        if not self.file.is_file():
            raise DataError(f"no file at {self.file}; --csv must be a CSV or JSONL file of path,label[,split]")

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return f"paths are relative to {self.file}"

    def whole_split(self) -> Split:
        """See the class."""
        rows = read_table(self.file)
        classes = in_order({row.label for row in rows})
        if len(classes) < 2:
            raise DataError(f'{self.file} has one class, "{classes[0]}"; a classifier needs two or more')
        names = pretty_names(self.folder, classes)
        label_of = {name: label for label, name in enumerate(classes)}
        parts: dict[str, list[SplitItem]] = {part: [] for part in PARTS}
        for row in rows:
            parts[row.split or "train"].append(SplitItem(row.path, label_of[row.label], names[row.label]))
        trained = {row.label for row in rows if row.split in ("", "train")}
        untrained = next((row for row in rows if row.label not in trained), None)
        if untrained is not None:
            raise DataError(f'{self.file}, line {untrained.line}: class "{untrained.label}" has no training image')
        return self.complete_split(Split(**parts))

    def path_of(self, path: str) -> str:
        """The file of a path in the table; it may be absolute, or lead out of the table's folder."""
        return os.path.normpath(os.path.join(self.folder, path))


def in_order(labels: set[str]) -> list[str]:
    """By code point; whole numbers by value."""
    return sorted(labels, key=lambda label: (int(label), label)) if all(map(str.isdecimal, labels)) else sorted(labels)
