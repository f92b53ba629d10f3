"""The figure of cost against classes: a line a trainer, hollow marks for what was scaled up."""

from dataclasses import fields
from pathlib import Path

import pytest

from lamm.benchmark.comparison import Row
from lamm.benchmark.decoding import draw_cost
from lamm.errors import ConfigError

pytest.importorskip("matplotlib")


def row(classes: int, plain_classes: int) -> Row:
    numbers = dict.fromkeys((field.name for field in fields(Row)), float(classes))
    named = {"trainer": "LAMM", "precision": "bf16", "cached": True, "classes": classes, "plain_classes": plain_classes}
    return Row(**{**numbers, **named})  # type: ignore[arg-type]


def test_the_figure_is_written_and_names_its_lines(tmp_path: Path) -> None:
    draw_cost([row(10, 10), row(100, 100), row(1000, 100)], tmp_path / "cost.svg")
    text = (tmp_path / "cost.svg").read_text()
    for said in ("LAMM, bf16, cached", "LAMM, plain path", "classes", "seconds a training step"):
        assert f"<!-- {said} -->" in text


def test_an_unknown_format_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--plot"):
        draw_cost([row(10, 10)], tmp_path / "cost.xyz")
    assert not list(tmp_path.iterdir())
