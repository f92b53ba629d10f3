"""Few-shot curves: what forms a line, its name, its mean over data sets, its table; and their picture."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lamm.errors import ResultsError
from lamm.results import by_shots, few_shot_curves, load, mean_curves
from lamm.results.curves import ALL_SHOTS, render_by_shots, without_point
from lamm.results.figure import draw, spread_out
from lamm.results.table import Statistic

RunWriter = Callable[..., Path]


def curves_in(folder: Path) -> pd.DataFrame:
    return few_shot_curves(load(folder))


def labels(folder: Path, dataset: str = "digits") -> list[str]:
    curves = curves_in(folder)
    return list(curves.label[curves.dataset == dataset].unique())


def test_a_curve_has_a_point_for_each_number_of_shots(tmp_path: Path, write_run: RunWriter) -> None:
    for shots in (16, 1, -1, 2):
        for seed in (1, 2):
            write_run(seed=seed, shots=shots, accuracy=50.0 + shots + seed)
    frame = load(tmp_path)
    curves = few_shot_curves(frame)
    assert list(curves.shots) == [1, 2, 16, ALL_SHOTS]
    value = curves.value[2]
    assert (value.mean, value.std) == (pytest.approx(67.5), pytest.approx(np.std([67.0, 68.0])))
    assert list(frame.loc[curves.runs[2]].accuracy) == [67.0, 68.0]


def test_zero_shot_comes_first_at_0_shots_whatever_it_ran_with(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(shots=1)
    for shots in (1, 16):
        write_run(shots=shots, trainer="ZeroshotCLIP", cfg="tiny", accuracy=42.2)
    curves = curves_in(tmp_path)
    assert list(curves.label) == ["ZeroshotCLIP", "LAMM"]
    assert list(curves.shots) == [0, 1]
    assert curves.value[0].values == (42.2, 42.2)


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
    frame = load(tmp_path)
    assert few_shot_curves(frame).empty
    assert list(without_point(frame).dataset) == [tmp_path.name]


def write_table(write_run: RunWriter) -> None:
    for accuracy, shots, seed in ((70.0, 1, 1), (74.0, 1, 2), (89.0, 16, 1), (90.0, 16, 2)):
        write_run(seed, accuracy, shots=shots, trainer="CoOp")
    for accuracy, shots, seed in ((80.0, 2, 1), (92.0, 16, 1), (94.0, 16, 2), (99.0, -1, 1)):
        write_run(seed, accuracy, shots=shots)
    for dataset in ("digits", "shapes"):
        write_run(1, 76.0, dataset=dataset, trainer="ZeroshotCLIP")


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]


def test_each_number_stands_under_its_shots(tmp_path: Path, write_run: RunWriter) -> None:
    write_table(write_run)
    digits, shapes = render_by_shots(curves_in(tmp_path), "github").split("shapes")
    header, _, zero_shot, coop, lamm = cells(digits)
    assert header == ["trainer", "1", "2", "16", "all"]
    assert zero_shot == ["ZeroshotCLIP", *["76.0"] * 4]
    assert coop == ["CoOp", "72.0 ± 2.0", "", "89.5 ± 0.5", ""]
    assert lamm == ["LAMM", "", "80.0", "93.0 ± 1.0", "99.0"]
    header, _, zero_shot = cells(shapes)
    assert (header, zero_shot) == (["trainer", "0"], ["ZeroshotCLIP", "76.0"])
    assert "72.0 ± 2.8" in render_by_shots(curves_in(tmp_path), ci95=True)  # 1.96 · 2 / √2


def test_cost_is_the_most_parameters_and_the_median_time_with_the_most_shots(
    tmp_path: Path, write_run: RunWriter
) -> None:
    write_table(write_run)
    for seed, seconds in ((1, 5.0), (2, 6.0), (3, 70.0)):
        write_run(seed, 50.0, shots=16, trainer="GDA", seconds_train=seconds, trainable_parameters=2000 + seed)
    write_run(1, 50.0, shots=2, trainer="GDA", seconds_train=900.0, trainable_parameters=None)
    write_run(1, 50.0, trainer="RanPAC", seconds_train=None, trainable_parameters=None)
    runs = load(tmp_path)
    header, _, *lines = cells(render_by_shots(few_shot_curves(runs), "github", frame=runs).split("shapes")[0])
    assert header[-2:] == ["parameters", "seconds"]
    costs = {line[0]: line[-2:] for line in lines}
    assert (costs["GDA"], costs["RanPAC"], costs["CoOp"]) == (["2,003", "6.0"], ["", ""], ["1,280", "30.0"])


def test_the_table_is_a_frame_too(tmp_path: Path, write_run: RunWriter) -> None:
    write_table(write_run)
    table = by_shots(curves_in(tmp_path))
    assert list(table.columns) == [0, 1, 2, 16, ALL_SHOTS]
    assert table.loc[("digits", "CoOp"), 16].values == (89.0, 90.0)


def means_in(folder: Path) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """By name the means at 16 shots over digits and shapes, and the names of those without one."""
    curves = mean_curves(load(folder), ["digits", "shapes"])
    means = curves[curves.value.notna()]
    return {row.label: row.value.values for row in means.itertuples()}, list(curves.label[curves.value.isna()])


def test_runs_of_one_config_are_averaged_seed_by_seed(tmp_path: Path, write_run: RunWriter) -> None:
    for seed, accuracy, dataset in ((1, 40.0, "digits"), (2, 50.0, "digits"), (1, 60.0, "shapes"), (2, 90.0, "shapes")):
        write_run(seed, accuracy, dataset=dataset)
    assert means_in(tmp_path) == ({"LAMM": (50.0, 70.0)}, [])


def test_data_sets_with_other_seeds_have_one_mean(tmp_path: Path, write_run: RunWriter) -> None:
    for seed, accuracy, dataset in ((1, 40.0, "digits"), (2, 50.0, "digits"), (3, 65.0, "shapes")):
        write_run(seed, accuracy, dataset=dataset)
    assert means_in(tmp_path) == ({"LAMM": (55.0,)}, [])


def test_another_config_is_another_method_whatever_its_curves_are_called(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(1, 40.0)
    write_run(1, 60.0, dataset="shapes", cfg="tiny_ep50_released")
    assert means_in(tmp_path) == ({}, ["LAMM (tiny_ep50)", "LAMM (tiny_ep50_released)"])
    write_run(1, 60.0, dataset="shapes")
    assert means_in(tmp_path) == ({"LAMM (tiny_ep50)": (50.0,)}, ["LAMM (tiny_ep50_released)"])


def test_protocols_are_apart_only_beside_each_other(tmp_path: Path, write_run: RunWriter) -> None:
    first = write_run(1, 40.0, protocol="a")
    second = write_run(1, 60.0, dataset="shapes", protocol="b")
    assert means_in(tmp_path) == ({"LAMM": (50.0,)}, [])
    for folder in (first, second):
        folder.rename(folder.with_name("seed1_first"))
    write_run(1, 80.0, protocol="b")
    write_run(1, 20.0, dataset="shapes", protocol="a")
    assert means_in(tmp_path) == ({"LAMM (a)": (30.0,), "LAMM (b)": (70.0,)}, [])


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


@pytest.mark.filterwarnings("error")
def test_any_name_is_drawn_as_it_is_within_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (drawn.append(figure), save(figure, *a, **k)))
    points: Points = {1: (50.0,), 16: (60.0,)}
    names = ["a$b$\\c_{", "红苹果 🍎 हिन्दी", "e\x1b\udcff"]
    labels = {f"LAMM_{'long and ' * 8}{number}": points for number in range(8)}
    draw(pd.concat([curves(name, **labels) for name in names]), tmp_path / "many.png")
    draw(curves(names[0], **labels), tmp_path / "one.png")
    for figure in drawn:
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert figure.axes[0].get_window_extent().height > 2 * figure.dpi
    assert drawn[0].axes[0].get_title() == names[0]


def test_the_variants_of_a_method_differ_in_marker_and_line(tmp_path: Path, figures: list[Any]) -> None:
    points: Points = {1: (50.0,), 16: (60.0,)}
    draw(curves(CoOp=points, **{f"LAMM_{number}": points for number in range(9)}), tmp_path / "one.png")
    lines = [line for line in figures[0].axes[0].get_lines() if len(line.get_xdata()) == 2]
    looks = {str((line.get_marker(), line.get_color(), line._dash_pattern)) for line in lines}
    assert len(lines) == len(looks) == 10


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
