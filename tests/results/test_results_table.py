"""The table's numbers are NumPy's, and each format holds them."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lamm.results import Statistic, load, mean_and_spread
from lamm.results.table import FORMATS, render

RunWriter = Callable[..., Path]
ACCURACIES = (60.0, 61.5, 64.0)
STD = float(np.std(ACCURACIES))


@pytest.fixture
def output(tmp_path: Path, write_run: RunWriter) -> Path:
    for seed, accuracy in enumerate(ACCURACIES, start=1):
        write_run(seed=seed, accuracy=accuracy, seconds_train=(10.0, 99.0, 20.0)[seed - 1])
    write_run(seed=1, accuracy=42.2, trainer="ZeroshotCLIP", cfg="tiny", trainable_parameters=0)
    return tmp_path


def table_of(output: Path, layout: str, ci95: bool = False) -> str:
    return render(mean_and_spread(load(output)), layout, ci95)


def test_mean_and_spread_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(70, 5, size=7)
    statistic = Statistic(tuple(values.tolist()))
    assert statistic.mean == pytest.approx(np.mean(values))
    assert statistic.std == pytest.approx(np.std(values))
    assert statistic.ci95 == pytest.approx(1.96 * np.std(values) / np.sqrt(7))


@pytest.mark.parametrize("layout", ["plain", "latex"])
def test_a_row_for_readers_shows_mean_spread_seeds_and_cost(output: Path, layout: str) -> None:
    row = next(line for line in table_of(output, layout).splitlines() if "1 2 3" in line)
    sign = r"$\pm$" if layout == "latex" else "±"
    assert f"61.83 {sign} {STD:.2f}" in row
    assert "1280" in row
    assert "20.0" in row


def test_one_seed_has_no_spread(output: Path) -> None:
    row = next(line for line in table_of(output, "plain").splitlines() if "ZeroshotCLIP" in line)
    assert "42.20" in row
    assert "±" not in row


def test_the_confidence_interval_takes_the_place_of_the_deviation(output: Path) -> None:
    assert f"61.83 ± {1.96 * STD / 3**0.5:.2f}" in table_of(output, "plain", ci95=True)
    first = json.loads(table_of(output, "json", ci95=True))[0]
    assert first["accuracy"]["ci95"] == pytest.approx(1.96 * STD / 3**0.5)
    assert "std" not in first["accuracy"]


def test_json_has_numbers(output: Path) -> None:
    first, second = json.loads(table_of(output, "json"))
    assert (first["dataset"], first["shots"], first["trainer"], first["cfg"]) == ("digits", 16, "LAMM", "tiny_ep50")
    assert first["seeds"] == [1, 2, 3]
    assert first["accuracy"]["mean"] == pytest.approx(sum(ACCURACIES) / 3)
    assert first["accuracy"]["std"] == pytest.approx(STD)
    assert first["accuracy"]["values"] == list(ACCURACIES)
    assert (first["trainable_parameters"], first["seconds_train"]) == (1280, 20.0)
    assert second["trainable_parameters"] == 0


def test_csv_has_a_column_for_each_number(output: Path) -> None:
    first, _ = csv.DictReader(io.StringIO(table_of(output, "csv")))
    assert float(first["accuracy_mean"]) == pytest.approx(sum(ACCURACIES) / 3)
    assert float(first["accuracy_std"]) == pytest.approx(STD)
    assert (first["protocol"], first["split"], first["seeds"]) == ("few_shot", "test", "1 2 3")


def test_protocol_and_split_are_shown_to_readers_only_where_they_differ(output: Path, write_run: RunWriter) -> None:
    assert "protocol" not in table_of(output, "plain").splitlines()[0]
    write_run(seed=1, dataset="shapes", protocol="class_incremental")
    header = table_of(output, "plain").splitlines()[0]
    assert "protocol" in header
    assert "split" not in header


def test_latex_escapes_names(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(cfg="tiny_ep50+A=100%")
    assert r"tiny\_ep50+A=100\%" in table_of(tmp_path, "latex")


@pytest.mark.parametrize("layout", FORMATS)
def test_logs_leave_gaps_for_what_they_do_not_say(
    tmp_path: Path, training_log: Callable[..., str], layout: str
) -> None:
    folder = tmp_path / "dtd" / "shots_16" / "CoOp" / "rn50" / "seed1"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(training_log(50.0, 50.0, 40.0).replace("* macro_f1", "* f1"))
    text = table_of(tmp_path, layout)
    if layout == "json":
        assert json.loads(text)[0]["macro_f1"] is None
    elif layout == "csv":
        assert text.splitlines()[1] == "dtd,16,CoOp,rn50,,test,1,50.0,0.0,,,,"
    else:
        assert text.count(" - ") + text.count(" -\n") + text.endswith(" -") == 3
