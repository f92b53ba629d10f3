"""`lamm.sweep.schedule`: the longest first, those that died once more, every end told."""

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from lamm.results.schema import FINISHED, RUNNING
from lamm.sweep.estimate import Job
from lamm.sweep.schedule import Failure, carry_out_all
from lamm.sweep.worker import Ended, Order, Started
from tests.sweep import toy_train
from tests.sweep.toy_jobs import toy_job


class ScriptedPool:
    """Each run ends with the codes that its folder's name lists, one a try; 0 leaves a result."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self._events: deque[Started | Ended] = deque()
        self._tries: dict[int, int] = {}

    def submit(self, order: Order) -> None:
        self.orders.append(order)
        number, folder = order.number, Path(order.log).parent
        codes = [int(code) for code in folder.name.split("_")[1:]]
        code = codes[self._tries.get(number, 0)]
        self._tries[number] = self._tries.get(number, 0) + 1
        toy_train.write(folder, RUNNING if code else FINISHED)
        self._events += [Started(number), Ended(number, code, 2.0, f"error {code}" if code else "")]

    def next_event(self, timeout: float) -> Started | Ended | None:
        return self._events.popleft() if self._events else None


class Told:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def started(self, job: Job) -> None:
        self.events.append(("started", job.folder))

    def finished(self, job: Job, results: Any, seconds: float) -> None:
        self.events.append(("finished", job.folder, results.metrics["accuracy"], seconds))

    def retried(self, job: Job, error: str) -> None:
        self.events.append(("retried", job.folder, error))

    def failed(self, job: Job, error: str) -> None:
        self.events.append(("failed", job.folder, error))

    def tick(self) -> None:
        pass


def carry_out(jobs: list[Job], retries: int = 1) -> tuple[ScriptedPool, list[tuple[Any, ...]], list[Failure]]:
    pool, told = ScriptedPool(), Told()
    failures = carry_out_all(jobs, pool, retries, told)
    return pool, told.events, failures


def test_the_longest_run_begins_first(tmp_path: Path) -> None:
    jobs = [toy_job(tmp_path / f"{name}_0", seconds=seconds) for name, seconds in [("a", 1), ("b", 9), ("c", 3)]]
    _, events, failures = carry_out(jobs)
    assert [event[1] for event in events if event[0] == "started"] == ["b_0", "c_0", "a_0"]
    assert ("finished", "a_0", 50.0, 2.0) in events
    assert failures == []


def test_a_run_that_died_is_tried_again_with_twice_the_memory(tmp_path: Path) -> None:
    pool, events, failures = carry_out([toy_job(tmp_path / "a_-9_0", memory=3.0)])
    assert [order.memory for order in pool.orders] == [3.0, 6.0]
    assert [event[0] for event in events] == ["started", "retried", "started", "finished"]
    assert failures == []


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (1, 2), (2, 3)])
def test_a_run_that_keeps_dying_fails_after_its_retries(retries: int, tries: int, tmp_path: Path) -> None:
    job = toy_job(tmp_path / "a_1_1_1_1")
    pool, events, failures = carry_out([job, toy_job(tmp_path / "b_0")], retries)
    assert len(pool.orders) == tries + 1
    assert failures == [Failure(job, "error 1")]
    assert ("failed", "a_1_1_1_1", "error 1") in events
    assert ("finished", "b_0", 50.0, 2.0) in events


def test_a_mistake_is_not_tried_again(tmp_path: Path) -> None:
    pool, _, failures = carry_out([toy_job(tmp_path / "a_2_0")], retries=5)
    assert len(pool.orders) == 1
    assert [failure.error for failure in failures] == ["error 2"]


def test_a_run_that_ends_without_a_result_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = toy_train.write
    monkeypatch.setattr(toy_train, "write", lambda folder, status: write(folder, RUNNING))
    _, _, failures = carry_out([toy_job(tmp_path / "a_0_0")])
    assert failures[0].error == "it ended without a result (was nothing tested?)"
