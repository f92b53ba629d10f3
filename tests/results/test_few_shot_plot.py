"""Few-shot curves: what forms a line, what it is called, and that a picture comes out."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamm.errors import ResultsError
from lamm.results.collect import collect
from lamm.results.curves import ALL_SHOTS, Curve, curves, without_point
from lamm.results.figure import draw, spread_out
from lamm.results.table import Statistic

RunWriter = Callable[..., Path]


def curves_in(folder: Path) -> dict[str, list[Curve]]:
    return curves(collect([folder]).finished)


def test_a_curve_has_a_point_for_each_number_of_shots(tmp_path: Path, write_run: RunWriter) -> None:
    for shots in (16, 1, -1, 2):
        for seed in (1, 2):
            write_run(seed=seed, shots=shots, accuracy=50.0 + shots + seed)
    (curve,) = curves_in(tmp_path)["digits"]
    assert list(curve.points) == [1, 2, 16, ALL_SHOTS]
    assert curve.points[16].mean == pytest.approx(67.5)
    assert curve.points[16].std == pytest.approx(np.std([67.0, 68.0]))


def test_zero_shot_comes_first_at_0_shots_whatever_it_ran_with(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(shots=1)
    for shots in (1, 16):
        write_run(shots=shots, trainer="ZeroshotCLIP", cfg="tiny", accuracy=42.2)
    first, second = curves_in(tmp_path)["digits"]
    assert (first.label, first.zero_shot, list(first.points)) == ("ZeroshotCLIP", True, [0])
    assert first.points[0].mean == pytest.approx(42.2)
    assert not second.zero_shot


def labels(folder: Path, dataset: str = "digits") -> list[str]:
    return [curve.label for curve in curves_in(folder)[dataset]]


def test_overrides_are_in_the_label(tmp_path: Path, write_run: RunWriter) -> None:
    write_run()
    write_run(cfg="tiny_ep50+HIERARCHICAL_LOSS=False")
    write_run(cfg="tiny_ep50+LAMBDA_KD=0+LAMBDA_COS=0")
    assert labels(tmp_path) == ["LAMM", "LAMM (HIERARCHICAL_LOSS=False)", "LAMM (LAMBDA_KD=0, LAMBDA_COS=0)"]


def test_config_files_are_in_the_label_only_where_a_trainer_has_several(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(cfg="rn50")
    write_run(cfg="vit")
    write_run(cfg="vit", dataset="shapes")
    assert labels(tmp_path) == ["LAMM (rn50)", "LAMM (vit)"]
    assert labels(tmp_path, "shapes") == ["LAMM"]


def test_groups_of_unknown_shots_have_no_point(tmp_path: Path, training_log: Callable[..., str]) -> None:
    (tmp_path / "log.txt").write_text(training_log(50.0, 50.0, 50.0))
    groups = collect([tmp_path]).finished
    assert curves(groups) == {}
    assert without_point(groups) == list(groups)


SIGNATURES = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_the_picture_has_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    members = [
        Curve("ZeroshotCLIP", "ZeroshotCLIP", {0: Statistic((42.2,))}),
        Curve("LAMM", "LAMM", {1: Statistic((48.0, 49.0)), 16: Statistic((64.0, 65.0))}),
        Curve("LAMM", "LAMM (rn50)", {16: Statistic((65.0,)), ALL_SHOTS: Statistic((70.0,))}),
    ]
    file = tmp_path / f"curves{suffix}"
    draw({"digits": members}, file)
    assert file.read_bytes().startswith(SIGNATURES[suffix])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_many_data_sets_share_a_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    members = [Curve(name, name, {1: Statistic((50.0,)), 2: Statistic((60.0,))}) for name in ("CoOp", "LAMM")]
    draw(dict.fromkeys(("dtd", "eurosat", "food101", "sun397", "ucf101"), members), tmp_path / "many.png")
    (figure,) = figures
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["CoOp", "LAMM"]
    assert [axes.get_title() for axes in figure.axes] == ["dtd", "eurosat", "food101", "sun397", "ucf101", ""]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["1", "2"]


def test_shots_stand_on_a_logarithmic_axis_with_a_step_for_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    zero = Curve("ZeroshotCLIP", "ZeroshotCLIP", {0: Statistic((42.2,))})
    trained = Curve("LAMM", "LAMM", {shots: Statistic((50.0 + shots,)) for shots in (1, 2, 4, 8, 16)})
    draw({"digits": [zero, trained]}, tmp_path / "one.png")
    axes = figures[0].axes[0]
    assert list(axes.get_xticks()) == [-1, 0, 1, 2, 3, 4]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "2", "4", "8", "16"]
    assert [text.get_text() for text in axes.texts] == ["ZeroshotCLIP", "LAMM"]


def test_the_label_of_a_lone_point_is_inside_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw({"digits": [Curve("LAMM", "LAMM", {16: Statistic((60.0, 61.0))})]}, tmp_path / "one.png")
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
        draw({"digits": []}, tmp_path / "curves.gif")


def test_no_curve_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no curve to draw"):
        draw({}, tmp_path / "curves.png")


def test_without_matplotlib_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ResultsError, match=r'pip install "lamm-clip\[plots\]"'):
        draw({"digits": []}, tmp_path / "curves.png")
