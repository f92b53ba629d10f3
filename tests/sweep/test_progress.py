"""`lamm.sweep.schedule` and the two ways to show it: lines, and a live table."""

from pathlib import Path

import pytest

from lamm.results.schema import RunResults
from lamm.sweep.progress import PlainProgress
from lamm.sweep.schedule import Tally, duration
from tests.sweep.toy_jobs import toy_job
from tests.sweep.toy_train import FINISHED, write


@pytest.fixture
def results(tmp_path: Path) -> RunResults:
    write(tmp_path, FINISHED)
    return RunResults.read(tmp_path / "results.json")


def test_a_tally_counts_and_tells_the_time_left() -> None:
    jobs = [toy_job(Path(f"run{number}"), seconds=10.0) for number in range(4)]
    tally = Tally(done=6, jobs=jobs, at_once=2)
    assert tally.line() == "6 of 10 done, 0 running, 4 waiting"
    assert tally.seconds_left() == pytest.approx(20.0)
    for job in jobs[:3]:
        tally.start(job)
    tally.finish(jobs[0], seconds=30.0)
    tally.fail(jobs[1])
    tally.stop(jobs[2])
    assert tally.line() == "7 of 10 done, 0 running, 2 waiting, 1 failed"
    # Two runs of 10 seconds are left, two at a time, and the one that is done took three times as long as expected.
    assert tally.seconds_left() == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (3600, "1 h"), (12000, "3 h 20 min"), (187200, "2 d 4 h")],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_each_end_of_a_run_is_a_line(results: RunResults, log_lines: list[str]) -> None:
    jobs = [toy_job(Path(f"run{number}")) for number in range(2)]
    progress = PlainProgress(Tally(0, jobs, 1))
    for job in jobs:
        progress.started(job)
    progress.finished(jobs[0], results, 12.0)
    progress.retried(jobs[1], "it died")
    progress.failed(jobs[1], "it died again")
    assert [line.rpartition(";")[0] for line in log_lines] == [
        "1 of 2: run0: 50.0% in 12 s",
        "1 of 2: run1: died, will be tried again: it died",
        "1 of 2: run1: FAILED: it died again",
    ]


def test_the_live_table_shows_counts_running_runs_and_accuracies(results: RunResults) -> None:
    console = pytest.importorskip("rich.console", reason="rich is not installed (extra [sweep])")
    from lamm.sweep.progress import LiveProgress

    screen = console.Console(width=100, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: SIM115
    jobs = [toy_job(Path(f"run{number}")) for number in range(2)]
    known = [("Toy", "toys", 70.0), ("Toy", "toys", None), ("Toy", "toys", None), ("Other", "toys", None)]
    with LiveProgress(Tally(1, jobs, 1), known, screen) as progress:
        for job in jobs:
            progress.started(job)
        progress.finished(jobs[0], results, 1.0)
        progress.failed(jobs[1], "it [died]")
        progress.tick()
    shown = screen.export_text()
    last = shown[shown.rindex("2 of 3 done") :]
    assert "FAILED: run1: it [died]" in shown
    assert "2 of 3 done, 0 running, 0 waiting, 1 failed" in last
    assert "│ Toy   │ 60.0 (2/3) │" in last
    assert "│ Other │    - (0/1) │" in last
