"""A review as table, CSV file and page: complete and escaped."""

import csv
from pathlib import Path

import pytest

from lamm.commands.review import summary
from lamm.review.findings import COLUMNS, Review
from lamm.review.page import write_page
from tests.review.conftest import NAMES

pytest.importorskip("imagehash", reason="the extra review is not installed")


def test_the_csv_file_has_a_row_for_every_finding_and_no_formula(found: Review, tmp_path: Path) -> None:
    found.write_csv(tmp_path / "review.csv")
    with open(tmp_path / "review.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    labels = [row for row in rows if row["finding"] == "label"]
    assert len(labels) == 6
    assert labels[0] == {
        **{"finding": "label", "photo": "<b>1.png", "class": f"'{NAMES[0]}", "part": "train"},
        **{"suggestion": "plum", "value": "0.1", "note": "1 alike"},
    }
    assert [row["photo"] for row in rows if row["finding"] == "duplicate"] == ["<b>4.png", "<b>5.png"]
    assert [row["note"] for row in rows if row["finding"] == "duplicate"] == ["same bytes, in test and train"] * 2
    assert len([row for row in rows if row["finding"] == "small"]) == 6
    assert [row["suggestion"] for row in rows if row["finding"] == "unknown name"] == ["plum"]
    assert "photograph" in {row["finding"] for row in rows}


def test_the_tables_show_the_first_rows_and_how_many_there_are(found: Review) -> None:
    text = summary(found, 2)
    assert "Labels in doubt: 1\n" in text
    assert "Odd photos: 6, the first 2\n" in text
    assert "<b>4.png = <b>5.png" in text


def test_names_in_the_page_are_escaped_and_photos_are_in_it(found: Review, tmp_path: Path) -> None:
    size = write_page(found, tmp_path / "review.html", "A <title>", most=60)
    text = (tmp_path / "review.html").read_text()
    assert size == len(text.encode())
    assert "A &lt;title&gt;" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count('src="data:image/') == 1 + 2 + 6
