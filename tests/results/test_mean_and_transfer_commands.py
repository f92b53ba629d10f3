"""`tools/parse_results.py --mean` and `--transfer` as a user runs them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from train_command import load_script
from transferred_runs import TransferredRuns

from lamm.commands import run

RunWriter = Callable[..., Path]
parse_results = load_script("tools/parse_results.py")


def command(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(parse_results.build_parser(), parse_results.main, line.split())
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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--transfer --by-shots", "--transfer has no --by-shots"),
        ("--transfer --mean", "--transfer has no --mean"),
        ("--mean --keyword error", "--mean has no --keyword"),
        ("--mean --format csv", "--mean has no csv layout"),
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
