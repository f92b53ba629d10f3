"""`tools/parse_results.py --mean`, `--transfer` and `--incremental` as a user runs them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.commands.parser import run
from tests.incremental.incremental_files import write_steps
from tests.train_command import command_module
from tests.transfer.transferred_runs import TransferredRuns

RunWriter = Callable[..., Path]
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
    assert [cell.strip() for cell in out[2].split("|")[-4:-1]] == ["75.00", "10.00", "75.00"]
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
