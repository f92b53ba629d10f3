"""The table's numbers are NumPy's, and each format holds them; what `lamm parse-results` prints."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lamm.commands.parser import run
from lamm.results import Statistic, load, mean_and_spread
from lamm.results.table import FORMATS, render
from tests.incremental.incremental_runs import write_steps
from tests.train_command import command_module
from tests.transfer.transferred_runs import TransferredRuns

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


def test_names_are_no_markup_no_formula_and_no_escape_sequence(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(dataset="=a|b", trainer="`C`_LAMM", cfg="*x*<i>\x1b[31m\ny")
    github, plain = table_of(tmp_path, "github"), table_of(tmp_path, "plain")
    assert r"| =a\|b " in github
    assert r"| \`C\`\_LAMM | \*x\*\<i\>\\x1b\[31m\\ny |" in github
    assert r"*x*<i>\x1b[31m\ny" in plain
    (row,) = csv.DictReader(io.StringIO(table_of(tmp_path, "csv")))
    assert (row["dataset"], row["seeds"], row["accuracy_mean"]) == ("'=a|b", "1", "60.0")
    assert "\x1b" not in github + plain + table_of(tmp_path, "latex") + table_of(tmp_path, "csv")


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


parse_results = command_module("parse_results")


def command(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(parse_results.parser(), parse_results.main, line.split())
    return int(stop.value.code or 0)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[list[str], list[str]]]:
    """The lines on stdout and on stderr since the last call."""

    def read() -> tuple[list[str], list[str]]:
        got = capsys.readouterr()
        return got.out.splitlines(), got.err.splitlines()

    return read


def test_the_mean_is_taken_over_the_data_sets_seed_by_seed(
    write_run: RunWriter, tmp_path: Path, printed: Callable
) -> None:
    for dataset, accuracies in {"digits": (50.0, 60.0), "shapes": (70.0, 80.0)}.items():
        for seed, accuracy in enumerate(accuracies, start=1):
            write_run(seed, accuracy, dataset=dataset)
            write_run(seed, accuracy - 10, dataset=dataset, cfg="tiny_ep50+HIERARCHICAL_LOSS=False")
    assert command(f"{tmp_path}/output --mean") == 0
    out, err = printed()
    assert out[0] == "mean of 2 data sets: digits, shapes"
    assert out[4].split() == ["LAMM", "65.0", "±", "5.0"]
    assert out[5].split() == ["LAMM", "(HIERARCHICAL_LOSS=False)", "55.0", "±", "5.0"]
    assert err == []


def test_a_method_that_lacks_a_data_set_is_left_out_and_named(
    write_run: RunWriter, tmp_path: Path, printed: Callable
) -> None:
    for dataset in ("digits", "shapes"):
        write_run(1, 50.0, dataset=dataset)
    write_run(1, 99.0, dataset="shapes", trainer="CoOp")
    assert command(f"{tmp_path}/output --mean") == 1
    out, err = printed()
    assert not any("CoOp" in line for line in out)
    assert "left out, not on all 2 data sets: CoOp" in err


def test_own_data_sets_are_in_no_mean_with_others_and_named(
    write_run: RunWriter, tmp_path: Path, printed: Callable
) -> None:
    for dataset, accuracy in (("digits", 50.0), ("shapes", 60.0), ("folder-my_photos-12345678", 99.0)):
        write_run(1, accuracy, dataset=dataset, versions={"engine": "dassl 0.6.3" if dataset == "digits" else "x 1"})
    assert command(f"{tmp_path}/output --mean") == 1
    out, err = printed()
    assert (out[0], out[-1].split()) == ("mean of 2 data sets: digits, shapes", ["LAMM", "55.0"])
    assert err[0] == "left out, in no mean with the others: folder-my_photos-12345678"
    assert err[1].startswith("a mean over runs of several engines (dassl, x)")


def test_without_a_method_on_all_data_sets_each_is_shown_by_itself(
    write_run: RunWriter, tmp_path: Path, printed: Callable
) -> None:
    write_run(1, 50.0)
    write_run(1, 60.0, dataset="shapes", trainer="CoOp")
    assert command(f"{tmp_path}/output --mean") == 1
    out, err = printed()
    assert [line.split()[-1] for line in out if line.startswith(("LAMM", "CoOp"))] == ["50.0", "60.0"]
    assert err == ["no method is on all 2 data sets, so there is no mean: each by itself"]


def test_evaluations_are_no_part_of_the_mean(write_run: RunWriter, tmp_path: Path, printed: Callable) -> None:
    write_run(1, 50.0)
    write_run(1, 10.0, dataset="shapes", protocol="evaluation")
    assert command(f"{tmp_path}/output --mean") == 0
    assert printed()[0][0] == "digits"


OTHERS = "left out, no few-shot runs on all classes: evaluation (1), incremental step (1), on a part of the classes (2)"


def write_others(write_run: RunWriter) -> None:
    """One run of each kind that is no few-shot run on all classes, all of them far off the others."""
    write_run(1, 10.0, cfg="tiny_ep50+MODEL_DIR=x", protocol="evaluation")
    write_run(1, 10.0, cfg="tiny_ep50+STEPS=2/step1", protocol="incremental")
    for part in ("base", "new"):
        write_run(1, 99.0, cfg=f"tiny_ep50+SUBSAMPLE_CLASSES={part}")


@pytest.mark.parametrize("flag", ["--by-shots", "--mean"])
def test_few_shot_tables_are_of_few_shot_runs_on_all_classes(
    write_run: RunWriter, tmp_path: Path, printed: Callable, flag: str
) -> None:
    for seed in (1, 2):
        write_run(seed, 50.0)
    write_others(write_run)
    assert command(f"{tmp_path}/output {flag}") == 0
    out, err = printed()
    assert [line.split() for line in out if line.startswith("LAMM")] == [["LAMM", "50.0", "±", "0.0"]]
    assert err == [OTHERS]


def test_the_plain_table_has_all_of_them(write_run: RunWriter, tmp_path: Path, printed: Callable) -> None:
    write_run(1, 50.0)
    write_others(write_run)
    assert command(f"{tmp_path}/output --format csv") == 0
    out, err = printed()
    assert len(out) == 1 + 5
    assert err == []


def test_few_shot_tables_without_a_few_shot_run_are_one_line(
    write_run: RunWriter, tmp_path: Path, printed: Callable
) -> None:
    write_others(write_run)
    assert command(f"{tmp_path}/output --by-shots") == 2
    out, (error,) = printed()
    assert (out, error) == ([], f"error: no few-shot run on all classes to show; {OTHERS}")


def test_transfer_names_what_it_leaves_out_without_an_exit_code(tmp_path: Path, printed: Callable) -> None:
    runs = TransferredRuns(tmp_path)
    model = runs.train("shapes", 90.0)
    runs.evaluate(model, "shapes_noisy", 80.0)
    folder = runs.evaluate(model, "shapes_noisy", 70.0, cfg="tiny_ep50+LOAD_EPOCH=2", load_epoch=2)
    assert command(f"{tmp_path} --transfer") == 0
    assert printed()[1] == [f"left out, an evaluation with --load-epoch 2: {folder}"]


def test_transfer_prints_the_tables_and_exits_with_1_where_an_evaluation_is_missing(
    tmp_path: Path, printed: Callable
) -> None:
    runs = TransferredRuns(tmp_path)
    for seed in (1, 2):
        runs.evaluate(runs.train("shapes", 90.0, seed), "shapes_noisy", 80.0, seed)
    assert command(f"{tmp_path} --transfer") == 0
    out, _ = printed()
    assert out[0] == "Domain generalisation: trained on shapes, 16 shots; average of source and targets"
    runs.evaluate(runs.train("shapes", 90.0, 3), "shapes_sketch", 80.0, 3)
    assert command(f"{tmp_path} --transfer") == 1
    _, err = printed()
    assert "missing: seed 3 of LAMM, shapes, 16 shots, tiny_ep50 on shapes_noisy" in err


def test_incremental_prints_the_matrices_or_their_overview(tmp_path: Path, printed: Callable) -> None:
    rows = [[90.0], [80.0, 70.0]]
    write_steps(tmp_path, rows, rows)
    assert command(f"{tmp_path} --incremental") == 0
    assert printed()[0][0] == "digits, 16 shots, LAMM, tiny_ep50+STEPS=2, seed 1"
    above = write_steps(tmp_path, rows, rows, trainer="CoOp", finished=1)
    assert command(f"{tmp_path} --incremental --overview --format github") == 1
    out, err = printed()
    told = [cell.strip() for cell in out[2].split("|")[-6:-1]]
    assert told == ["75.00", "10.00", "75.00", "-", "-"]  # the records have no numbers over all images
    assert err == [f"left out: seed 1 in {above} is not through its 2 steps"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--transfer --by-shots", "--transfer has no --by-shots"),
        ("--transfer --mean", "--transfer has no --mean"),
        ("--mean --keyword error", "--mean has no --keyword"),
        ("--mean --format csv", "--mean has no csv layout"),
        ("--incremental --seeds 1", "--incremental has no --seeds"),
        ("--incremental --overview --format csv", "--overview has no csv layout"),
        ("--overview", "--overview goes with --incremental"),
        ("--cost", "--cost goes with --by-shots"),
        ("--incremental", "no seed with all its steps in or below"),
        ("--transfer", "no evaluation of a trained model on other classes or data in or below"),
    ],
)
def test_flags_without_effect_and_nothing_to_show_are_one_line(
    write_run: RunWriter, tmp_path: Path, printed: Callable, line: str, said: str
) -> None:
    write_run()
    assert command(f"{tmp_path} {line}") == 2
    out, (error,) = printed()
    assert said in error
    assert out == []
