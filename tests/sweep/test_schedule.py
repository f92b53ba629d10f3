"""`lamm.sweep.schedule`: those that died once more, every start and end told."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lamm.results.schema import FINISHED, RUNNING
from lamm.sweep.runs import SweepRun
from lamm.sweep.schedule import Progress, carry_out_all
from lamm.sweep.worker import Outcome
from tests.sweep import toy_train
from tests.sweep.toy_runs import toy_run


class Events(Progress):
    """Remembers what it is told."""

    def __init__(self, runs: Sequence[SweepRun]) -> None:
        super().__init__(runs, at_once=1)
        self.events: list[tuple[str, str]] = []

    def start(self, run: SweepRun) -> None:
        self.events.append((run.folder, "begun"))
        super().start(run)

    def say(self, run: SweepRun, what: str) -> None:
        self.events.append((run.folder, what))


def carry_out(
    runs: list[SweepRun], retries: int = 1, status: str = FINISHED
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Events and failures. Each run ends with the codes that its folder's name lists, one a try."""
    tries: dict[str, int] = {}

    def scripted(words: Sequence[str], log: str) -> Outcome:
        folder = Path(log).parent
        tries[log] = tries.get(log, 0) + 1
        code = int(folder.name.split("_")[tries[log]])
        toy_train.write(folder, RUNNING if code else status)
        return Outcome(code, 2.0, f"error {code}" if code else "")

    progress = Events(runs)
    with ThreadPoolExecutor(1) as executor:
        failures = carry_out_all(runs, (executor, scripted), retries, progress)
    return progress.events, [(run.folder, error) for run, error in failures]


def test_runs_are_carried_out_in_order(tmp_path: Path) -> None:
    events, failures = carry_out([toy_run(tmp_path / f"{name}_0") for name in "abc"])
    assert [folder for folder, what in events if what == "begun"] == ["a_0", "b_0", "c_0"]
    assert ("a_0", "50.0% in 2 s") in events
    assert failures == []


def test_a_run_that_died_is_tried_again_behind_the_others(tmp_path: Path) -> None:
    events, failures = carry_out([toy_run(tmp_path / "a_-9_0"), toy_run(tmp_path / "b_0")])
    assert [what for folder, what in events if folder == "a_-9_0"] == [
        "begun",
        "died, will be tried again: error -9",
        "begun",
        "50.0% in 2 s",
    ]
    assert events[-1] == ("a_-9_0", "50.0% in 2 s")
    assert failures == []


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (2, 3)])
def test_a_run_that_keeps_dying_fails_after_its_retries(retries: int, tries: int, tmp_path: Path) -> None:
    events, failures = carry_out([toy_run(tmp_path / "a_1_1_1_1"), toy_run(tmp_path / "b_0")], retries)
    assert events.count(("a_1_1_1_1", "begun")) == tries
    assert failures == [("a_1_1_1_1", "error 1")]
    assert ("b_0", "50.0% in 2 s") in events


def test_a_mistake_is_not_tried_again(tmp_path: Path) -> None:
    events, failures = carry_out([toy_run(tmp_path / "a_2_0")], retries=5)
    assert events.count(("a_2_0", "begun")) == 1
    assert failures == [("a_2_0", "error 2")]


def test_a_run_that_ends_without_a_result_has_failed(tmp_path: Path) -> None:
    _, failures = carry_out([toy_run(tmp_path / "a_0_0")], status=RUNNING)
    assert failures == [("a_0_0", "it ended without a result (was nothing tested?)")]
