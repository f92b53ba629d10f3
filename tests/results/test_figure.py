"""The picture of few-shot curves: its formats, axes, labels and legend."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lamm.errors import ResultsError
from lamm.results.curves import ALL_SHOTS
from lamm.results.figure import draw, spread_out
from lamm.results.table import Statistic

Points = dict[int, tuple[float, ...]]


def curves(dataset: str = "digits", **points: Points) -> pd.DataFrame:
    """Curves by label; a trainer's variants have `_` and a remark behind its name."""
    rows = [
        (dataset, label.partition("_")[0], label, shots, Statistic(values))
        for label, members in points.items()
        for shots, values in members.items()
    ]
    return pd.DataFrame(rows, columns=["dataset", "trainer", "label", "shots", "value"])


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that would have been written."""
    from matplotlib.figure import Figure

    drawn: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    return drawn


SIGNATURES = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_the_picture_has_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    lamm, variant = {1: (48.0, 49.0), 16: (64.0, 65.0)}, {16: (65.0,), ALL_SHOTS: (70.0,)}
    members = curves(ZeroshotCLIP={0: (42.2,)}, LAMM=lamm, LAMM_rn50=variant)
    file = tmp_path / f"curves{suffix}"
    draw(members, file, published=curves(LAMM={1: (50.0,), 4: (60.0,)}))
    assert file.read_bytes().startswith(SIGNATURES[suffix])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_many_data_sets_share_a_legend(tmp_path: Path, figures: list[Any]) -> None:
    points: Points = {1: (50.0,), 2: (60.0,)}
    names = ("dtd", "eurosat", "food101", "sun397", "ucf101")
    draw(pd.concat([curves(name, CoOp=points, LAMM=points) for name in names]), tmp_path / "many.png")
    (figure,) = figures
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CoOp", "LAMM"]
    assert [axes.get_title() for axes in figure.axes] == ["dtd", "eurosat", "food101", "sun397", "ucf101", ""]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["1", "2"]


def test_shots_stand_on_a_logarithmic_axis_with_a_step_for_zero(tmp_path: Path, figures: list[Any]) -> None:
    trained = {shots: (50.0 + shots,) for shots in (1, 2, 4, 8, 16)}
    draw(curves(ZeroshotCLIP={0: (42.2,)}, LAMM=trained), tmp_path / "one.png")
    axes = figures[0].axes[0]
    assert list(axes.get_xticks()) == [-1, 0, 1, 2, 3, 4]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "2", "4", "8", "16"]
    assert [text.get_text() for text in axes.texts] == ["ZeroshotCLIP", "LAMM"]


def test_the_label_of_a_lone_point_is_inside_the_picture(tmp_path: Path, figures: list[Any]) -> None:
    draw(curves(LAMM={16: (60.0, 61.0)}), tmp_path / "one.png")
    (figure,) = figures
    figure.draw_without_rendering()
    assert figure.axes[0].texts[0].get_window_extent().x1 <= figure.bbox.x1


def test_labels_that_have_room_stay_and_the_others_move_apart() -> None:
    assert spread_out([10.0, 20.0], gap=5.0) == [10.0, 20.0]
    assert spread_out([10.0, 10.0], gap=4.0) == [8.0, 12.0]
    heights = spread_out([1.0, 1.1, 1.2, 5.0, 5.1], gap=1.0)
    assert np.diff(heights).min() >= 1.0 - 1e-9


def test_an_unknown_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"end its name in one of \.png, \.svg, \.pdf"):
        draw(curves(LAMM={1: (60.0,)}), tmp_path / "curves.gif")


def test_no_curve_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no curve to draw"):
        draw(curves(), tmp_path / "curves.png")


def test_without_matplotlib_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ResultsError, match=r'pip install "lamm-clip\[plots\]"'):
        draw(curves(LAMM={1: (60.0,)}), tmp_path / "curves.png")
