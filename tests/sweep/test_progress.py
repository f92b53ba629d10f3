"""`lamm.sweep.schedule` and `lamm.sweep.live`: counts, time left, and the two ways to show them."""

from pathlib import Path

import pytest

from lamm.results.schema import RESULTS_FILE, RUNNING, RunResults
from lamm.sweep.runs import SweepRun
from lamm.sweep.schedule import Progress, duration, overview, summary
from tests.sweep.toy_runs import toy_run
from tests.sweep.toy_train import FINISHED, write


def finished(run: SweepRun, status: str = FINISHED) -> SweepRun:
    write(Path(run.output_dir), status)
    run.results = RunResults.read(Path(run.output_dir) / RESULTS_FILE)
    return run


def runs_of_kinds(folder: Path, *kinds: str, seconds: float | None = None) -> list[SweepRun]:
    return [toy_run(folder / kind / f"seed{number}", seconds=seconds) for number, kind in enumerate(kinds)]


def test_the_counts_are_those_of_the_sweep(tmp_path: Path) -> None:
    runs = runs_of_kinds(tmp_path, *"abcde")
    finished(runs[4])
    progress = Progress(runs, at_once=2)
    assert progress.counts() == "1 of 5 done, 0 running, 4 waiting"
    for run in runs[:3]:
        progress.start(run)
    assert progress.counts() == "1 of 5 done, 3 running, 1 waiting"
    progress.finish(finished(runs[0]), 30.0)
    progress.fail(runs[1], "")
    progress.retry(runs[2], "")
    assert progress.counts() == "2 of 5 done, 0 running, 2 waiting, 1 failed"


def test_the_time_left_is_unknown_before_the_first_run_ends(tmp_path: Path) -> None:
    runs = runs_of_kinds(tmp_path, *"aab")
    progress = Progress(runs, at_once=1)
    assert progress.time_left() == "time left unknown"
    progress.finish(finished(runs[0]), 30.0)
    assert progress.seconds_left() == pytest.approx(60.0)  # a kind that is unknown counts as the mean


def test_a_run_takes_what_its_kind_took_in_this_sweep_else_before(tmp_path: Path) -> None:
    runs = runs_of_kinds(tmp_path, *"aaabb", seconds=10.0)
    progress = Progress(runs, at_once=2)
    assert progress.seconds_left() == pytest.approx(25.0)
    progress.finish(finished(runs[0]), 30.0)
    assert progress.seconds_left() == pytest.approx((30 + 30 + 10 + 10) / 2)
    progress.start(runs[1])
    progress.running[runs[1]] -= 20.0
    assert progress.seconds_left() == pytest.approx((10 + 30 + 10 + 10) / 2, abs=1.0)


def test_durations_have_two_units_at_most() -> None:
    words = {0.4: "0 s", 89: "89 s", 600: "10 min", 3600: "1 h", 12000: "3 h 20 min", 187200: "2 d 4 h"}
    assert {seconds: duration(seconds) for seconds in words} == words


def test_each_end_of_a_run_is_a_line(tmp_path: Path, log_lines: list[str]) -> None:
    runs = runs_of_kinds(tmp_path, *"ab")
    progress = Progress(runs, 1)
    progress.finish(finished(runs[0]), 12.0)
    progress.retry(runs[1], "it died")
    progress.fail(runs[1], "it died again")
    assert log_lines == [
        "1 of 2: seed0: 50.0% in 12 s; about 12 s left",
        "1 of 2: seed1: died, will be tried again: it died; about 12 s left",
        "1 of 2: seed1: FAILED: it died again; about 0 s left",
    ]


def test_the_live_table_shows_counts_running_runs_and_accuracies(tmp_path: Path) -> None:
    console = pytest.importorskip("rich.console", reason="rich is not installed (extra [sweep])")
    from lamm.sweep.live import LiveProgress

    screen = console.Console(width=100, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: SIM115
    runs = [toy_run(tmp_path / f"run{number}") for number in range(3)]
    finished(runs[0])
    with LiveProgress([*runs, toy_run(tmp_path / "other", method="Other")], 1, screen) as progress:
        for run in runs[1:]:
            progress.start(run)
        progress.tick()
        progress.finish(finished(runs[1]), 1.0)
        progress.fail(runs[2], "it [died]")
    shown = screen.export_text()
    assert "run1  0 s" in shown
    assert "run2: FAILED: it [died]" in shown
    last = shown[shown.rindex("2 of 4 done") :]
    assert "2 of 4 done, 0 running, 1 waiting, 1 failed, about 1 s left" in last
    assert "│ Toy   │ 50.0 (2/3) │" in last
    assert "│ Other │    - (0/1) │" in last


def test_the_overview_names_each_group_once_with_what_is_done_and_how_long_the_rest_takes(tmp_path: Path) -> None:
    lamm = [toy_run(tmp_path / f"lamm{number}", seconds=10.0 * number, method="LAMM") for number in range(4)]
    coop = [toy_run(tmp_path / f"coop{number}", method="CoOp") for number in range(2)]
    finished(lamm[0])
    finished(lamm[1], status=RUNNING)
    header, _, first, second = overview([*lamm, *coop]).splitlines()
    assert header.split()[:7] == ["dataset", "trainer", "cfg", "shots", "seeds", "runs", "done"]
    assert first.split() == ["toys", "LAMM", "toy", "1", "1", "4", "1", "10", "s", "–", "30", "s"]
    assert second.split() == ["toys", "CoOp", "toy", "1", "1", "2", "0", "unknown"]


def test_the_summary_says_what_is_known(tmp_path: Path) -> None:
    runs = runs_of_kinds(tmp_path, *"aab", seconds=40.0)
    finished(runs[0])
    assert summary(runs, 2, 1) == "3 runs, 1 done, 2 to do: about 40 s, 2 at once with 1 thread each"
    finished(runs[1], status=RUNNING)
    runs[1].seconds = None
    assert summary(runs, 2, 4) == (
        "3 runs, 1 done, 2 to do (1 of them begun): at least 40 s, 2 at once with 4 threads each; "
        "the time of 1 is unknown"
    )
    runs[2].seconds = None
    assert "2 to do (1 of them begun): time unknown, 1 at once" in summary(runs, 1, 4)
    assert summary(runs[:1], 1, 1) == "1 runs, 1 done, 0 to do"
