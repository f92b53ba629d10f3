"""A user's list of images, as spreadsheets, pandas, Hugging Face, open_clip and the CoOp family write them.

Columns are recognised by their names; where several fit, what they hold decides, and a list that stays ambiguous is
refused. Nothing is looked up on disk here but the file itself.
"""

import csv
import io
import math
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lamm.datasets.listing import is_image_name
from lamm.datasets.splits import PARTS, is_text
from lamm.datasets.splitters import numbered_lines, read_text
from lamm.errors import DataError
from lamm.reading import json_object, json_value

# Column → what it may be called; case, spaces, hyphens and underscores don't count.
COLUMNS = {
    "path": ("path", "image", "file", "file_name", "filepath", "image_path", "image_name", "impath", "img"),
    "label": ("label", "class", "classname", "category", "label_name", "category_name", "class_id", "target"),
    "split": ("split", "set", "subset"),
}
# The same where there is no such column.
FALLBACKS = {"path": ("image_id", "id"), "label": ("title",)}
SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# Further columns that say the part, where they hold such words; or whether it is the first of two parts.
SPLIT_COLUMNS = ("partition", "phase", "fold", "part")
BOOLEAN_COLUMNS = {
    **dict.fromkeys(("istrain", "train", "istraining"), ("train", "test")),
    **dict.fromkeys(("isval", "isvalid", "val", "valid"), ("val", "train")),
    **dict.fromkeys(("istest", "test"), ("test", "train")),
}
BOOLEANS = {
    **dict.fromkeys(("true", "1", "1.0", "yes"), 0),
    **dict.fromkeys(("false", "0", "0.0", "no"), 1),
}
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"([+-]?\d{1,18})(?:\.0*)?", re.ASCII)
SHOWN_COLUMNS = 8


# Hugging Face's ImageFolder has its list in the folder of the images.
LISTS_OF_FOLDERS = ("metadata.csv", "metadata.jsonl")


def list_in(place: Path) -> Path:
    """The list that a folder holds under a usual name, if it is one; else the place itself."""
    lists = [place / name for name in LISTS_OF_FOLDERS if os.path.isfile(place / name)]
    return lists[0] if len(lists) == 1 else place


class TableRow(NamedTuple):
    """One image: where it stands in the file, path with forward slashes, label, part ("" where the table has none)."""

    place: str
    path: str
    label: str
    split: str


@dataclass
class Table:
    """A list of images, read as far as possible.

    Attributes:
        rows: those that can be read, in their order.
        classes: the labels, each once, in class order.
        notes: what was decided about its columns, a line each.
        broken: what is wrong with the other rows, a line each that begins with the row's place.
        error: why the file, or the rest of it, can't be read; "" if it can.
    """

    rows: list[TableRow] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def twice(self) -> dict[str, list[str]]:
        """Path → its places, of the images that are listed more than once, in whatever spelling of the path."""
        places: dict[str, list[str]] = {}
        paths: dict[str, str] = {}
        for row in self.rows:
            path = paths.setdefault(posixpath.normpath(row.path), row.path)
            places.setdefault(path, []).append(row.place)
        return {path: found for path, found in places.items() if len(found) > 1}


class _Record(NamedTuple):
    """A row before its columns are known: its place, column → text, and what is wrong with it."""

    place: str
    values: dict[str, str]
    problem: str = ""


def read_table(file: Path) -> Table:
    """Read a list, whatever is wrong with it."""
    table, records = Table(), []
    try:
        for record in _json_records(file) if file.suffix.lower() in JSON_SUFFIXES else _csv_records(file):
            if record.problem:
                table.broken.append(f"{record.place}: {record.problem}")
            else:
                records.append(record)
    except DataError as error:
        table.error = str(error)
    if not records:
        return table
    columns = dict.fromkeys(name for record in records for name in record.values if name)
    values = {name: [record.values.get(name, "") for record in records] for name in columns}
    try:
        paths = values[_path_column(values, file, table)]
        labels = _labels(values, file, table)
        parts = _parts(values, file) or [""] * len(records)
    except DataError as error:
        table.error = str(error)
        return table
    for record, path, label, part in zip(records, paths, labels, parts, strict=True):
        blank = next((role for role, text in (("path", path), ("label", label)) if not is_text(text)), "")
        if blank:
            table.broken.append(f"{record.place}: no {blank}; expected path,label[,split]")
        elif part and part.lower() not in SPLITS:
            table.broken.append(f'{record.place}: the split "{part[:80]}" is none of train, val, test')
        else:
            clean = path.replace("\\", "/").removeprefix("./")
            table.rows.append(TableRow(record.place, clean, label, SPLITS.get(part.lower(), "")))
    used = {row.label for row in table.rows}
    table.classes = [name for name in table.classes if name in used] or _in_order(used)
    return table


def _csv_records(file: Path) -> Iterator[_Record]:
    """The rows of a CSV file, with the line they end on.

    Raises:
        DataError: the file can't be read or is not CSV, from some row on; or a column comes twice.
    """
    text = read_text(file)
    separator = re.match(r'"?sep=(.)"?[ \t;,]*(?:\r\n|\r|\n)', text, re.IGNORECASE)  # Excel's own first line
    body = text[separator.end() :] if separator else text
    header = next((line for line in body.splitlines() if line.strip()), "")
    delimiter = separator[1] if separator else max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
        names = [name.strip() for name in reader.fieldnames or []]
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f'{file} has two columns "{twice[:80]}"; rename or remove one')
        reader.fieldnames = names
        for role in ("path", "label"):
            if not _named(role, names):
                raise _no_column(role, names, file)
        for record in reader:
            place = f"line {reader.line_num + bool(separator)}"
            rest = record.pop(None, [])  # type: ignore[call-overload]
            if any(map(str.strip, rest)):
                yield _Record(
                    place, {}, f'more values than columns ("{delimiter.join(rest)[:80]}"); a value with '
                    f'"{delimiter}" in it goes into quotation marks',
                )  # fmt: skip
            else:
                yield _Record(place, {name: _text(value) for name, value in record.items()})
    except (csv.Error, TypeError) as error:  # a delimiter that is not one
        raise DataError(f"{file} is not a CSV file ({error}); mend it") from None


def _json_records(file: Path) -> Iterator[_Record]:
    """The objects of an array, of the lists train, val and test, or of a line each.

    Raises:
        DataError: the file can't be read.
    """
    text = read_text(file)
    content: Any = None
    try:
        content = json_value(text)
    except ValueError as error:
        if text.lstrip().startswith("["):
            raise DataError(f"{file} can't be read as JSON ({str(error)[:120]}); mend it") from None
    if isinstance(content, list):
        yield from (_json_record(entry, f"entry {number}") for number, entry in enumerate(content, start=1))
        return
    lists = (
        {name: rows for name, rows in content.items() if isinstance(rows, list)} if isinstance(content, dict) else {}
    )
    part_of = {name: SPLITS.get(name.strip().lower().removesuffix("_x"), "") for name in lists}
    if lists and (any(part_of.values()) or not _named("path", content)):
        other = next((name for name, part in part_of.items() if not part and _has_record(lists[name])), None)
        if other is not None:
            raise DataError(f'{file} has a list "{other[:80]}": lists of images are called train, val or test')
    for name, part in sorted(part_of.items(), key=lambda pair: (*PARTS, "").index(pair[1])):
        for number, entry in enumerate(lists[name] if part else (), start=1):
            place, values, problem = _json_record(entry, f"{name} entry {number}")
            yield _Record(place, {**values, "split": part}, problem)
    if any(part_of.values()):
        return
    for number, line in numbered_lines(file):
        try:
            entry = json_object(line)
        except ValueError:
            entry = line
        yield _json_record(entry, f"line {number}")


def _has_record(entries: list[Any]) -> bool:
    return any(isinstance(entry, dict) or (isinstance(entry, list) and len(entry) == 3) for entry in entries)


def _json_record(entry: Any, place: str) -> _Record:
    """A record of an object, or of the benchmark's `[path, label, class name]`."""
    if isinstance(entry, list) and len(entry) == 3:
        entry = dict(zip(("path", "label", "classname"), entry, strict=True))
    if isinstance(entry, dict):
        values = {name.strip(): _text(value) for name, value in entry.items()}
        said = {name.strip(): str(value) for name, value in entry.items() if isinstance(value, bool)}
        return _Record(
            place, {**values, **{name: text for name, text in said.items() if _plain(name) in BOOLEAN_COLUMNS}}
        )
    return _Record(place, {}, f'expected {{"path": "…", "label": "…"}}, found {str(entry)[:80]}')


def _text(value: Any) -> str:
    """A value's text; numbers as they are written, "" where there is nothing."""
    if isinstance(value, str):
        return value.strip()
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return str(value) if is_number else ""


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _named(role: str, columns: Iterable[str]) -> list[str]:
    """The columns that may be one, by their names."""
    for names in (COLUMNS[role], FALLBACKS.get(role, ())):
        plain = set(map(_plain, names))
        fitting = [column for column in columns if _plain(column) in plain]
        if fitting:
            return fitting
    return []


def _no_column(role: str, columns: Sequence[str], file: Path) -> DataError:
    found = ", ".join(f'"{name[:30]}"' for name in columns[:SHOWN_COLUMNS])
    more = ", …" if len(columns) > SHOWN_COLUMNS else ""
    accepted = {name: ", ".join((*COLUMNS[name], *FALLBACKS[name])) for name in ("path", "label")}
    return DataError(
        f"{file} has no column {role}: its columns are {found or 'none'}{more}; "
        f"accepted for the path: {accepted['path']}; for the label: {accepted['label']}"
    )


def _only(columns: Sequence[str], values: Mapping[str, Sequence[str]], role: str, file: Path) -> str:
    """The one column, "" where there is none; columns that hold the same are one.

    Raises:
        DataError: two columns differ.
    """
    filled = [name for name in columns if any(values[name])] or columns[:1]
    other = next((name for name in filled if values[name] != values[filled[0]]), "")
    if other:
        raise DataError(
            f'{file} has two columns that may hold the {role}, "{filled[0]}" and "{other}": rename or remove one'
        )
    return filled[0] if filled else ""


def _parts(values: Mapping[str, Sequence[str]], file: Path) -> Sequence[str]:
    """Each row's split as it is written, or as a boolean means it; empty where no column says it.

    Raises:
        DataError: two columns differ, or one of another name holds nothing but splits.
    """
    said = {name: values[name] for name in _named("split", values)}
    others = {}
    for name in values.keys() - {*said, *_named("path", values), *_named("label", values)}:
        words = {text.lower() for text in values[name]} - {""}
        if _plain(name) in BOOLEAN_COLUMNS and words and words <= BOOLEANS.keys():
            meant = BOOLEAN_COLUMNS[_plain(name)]
            said[name] = [meant[BOOLEANS[text.lower()]] if text else "" for text in values[name]]
        elif _plain(name) in (*SPLIT_COLUMNS, *BOOLEAN_COLUMNS) and words & SPLITS.keys():
            said[name] = values[name]
        elif words and words <= SPLITS.keys():
            others[name] = values[name]
    column = _only([name for name in values if name in said], said, "split", file)
    unused = next((name for name in values if name in others and others[name] != said.get(column)), "")
    if unused:
        raise DataError(
            f'{file} has a column "{unused[:80]}" of train, val or test: call it split, if it is, or remove it'
        )
    return said.get(column, ())


def _path_column(values: Mapping[str, Sequence[str]], file: Path, table: Table) -> str:
    columns = _named("path", values)
    if not columns:
        raise _no_column("path", list(values), file)
    images = [name for name in columns if all(map(is_image_name, map(posixpath.basename, filter(None, values[name]))))]
    path = _only(images if len(columns) > 1 and images else columns, values, "path", file)
    if len(columns) > 1:
        others = ", ".join(f'"{name}"' for name in columns if name != path)
        table.notes.append(f'{file.name}: the paths are those in "{path}", {others} is not used')
    return path


def _labels(values: Mapping[str, Sequence[str]], file: Path, table: Table) -> Sequence[str]:
    """The class names, of which words go before numbers; numbers beside words give the order of the classes.

    Whole numbers lose the decimals that a table program gave them: 1.0 is 1.
    """
    columns = _named("label", values)
    if not columns:
        raise _no_column("label", list(values), file)
    numeric = [name for name in columns if all(map(NUMBER.fullmatch, filter(None, values[name])))]
    words = [name for name in columns if name not in numeric]
    label = _only(words or numeric, values, "label", file)
    whole = {name: [WHOLE.fullmatch(text) for text in values[name]] for name in numeric}
    if not words:
        return [match[1] if match else "" for match in whole[label]] if all(whole[label]) else values[label]
    number = next((name for name in numeric if all(whole[name])), "")
    pairs = {(text, int(match[1])) for text, match in zip(values[label], whole.get(number, ()), strict=False) if match}
    if number and len(pairs) == len({text for text, _ in pairs}) == len({order for _, order in pairs}):
        table.classes = [text for text, _ in sorted(pairs, key=lambda pair: pair[1])]
        table.notes.append(
            f'{file.name}: the class names are the words in "{label}", in the order of the numbers in "{number}"'
        )
    elif any(any(values[name]) for name in numeric):
        others = ", ".join(f'"{name}"' for name in numeric)
        table.notes.append(
            f'{file.name}: the class names are the words in "{label}"; the numbers in {others} are not used'
        )
    return values[label]


def _in_order(labels: set[str]) -> list[str]:
    """By code point; whole numbers by value."""
    are_numbers = all(label.isdecimal() and WHOLE.fullmatch(label) for label in labels)
    return sorted(labels, key=lambda label: (int(label), label)) if are_numbers else sorted(labels)
