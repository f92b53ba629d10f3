"""How runs share cores, memory and GPUs; those that died once more, every start and end told."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from lamm.errors import ConfigError
from lamm.memory import free_bytes
from lamm.results.schema import FINISHED, RUNNING
from lamm.sweep.machine import GIB, GPU_CONTEXT, SLACK, Machine, this_machine
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


CARD = int(40 * GIB)
PEAK = (10 * GIB - GPU_CONTEXT) / SLACK  # 10 GiB with all that comes on top


@pytest.mark.parametrize(
    ("machine", "jobs", "threads", "expected"),
    [
        (Machine(8, 100 * GIB), None, None, (8, 1)),
        (Machine(8, 100 * GIB), 3, None, (3, 2)),
        (Machine(8, 100 * GIB), None, 4, (2, 4)),
        (Machine(64, 1000 * GIB), None, None, (10, 6)),  # no more runs than there are
        (Machine(8, 25 * GIB), None, None, (2, 4)),  # about 9 GiB each
        (Machine(32, 100 * GIB, (CARD, CARD)), None, None, (8, 4)),  # 4 on a GPU
        (Machine(32, 100 * GIB, (CARD // 8, CARD)), None, None, (2, 16)),
        (Machine(4, 100 * GIB, (CARD, CARD)), None, None, (4, 1)),
    ],
)
def test_runs_share_cores_memory_and_gpus(
    machine: Machine, jobs: int | None, threads: int | None, expected: tuple[int, int]
) -> None:
    assert machine.share_out(10, PEAK, jobs, threads) == expected


def test_before_the_first_finished_run_a_usual_amount_of_memory_counts() -> None:
    assert Machine(8, 5 * GIB).share_out(10, None) == (2, 4)
    assert Machine(8, 100 * GIB, (CARD,)).share_out(10, None) == (5, 1)


@pytest.mark.parametrize(("gib", "share"), [(10, 0.25), (10.1, 0.26), (100, 1.0), (GPU_CONTEXT / GIB, 0.02)])
def test_a_share_of_a_gpu_is_rounded_up_and_at_most_the_whole(gib: float, share: float) -> None:
    assert Machine(8, 1.0, (CARD, 2 * CARD)).gpu_share((gib * GIB - GPU_CONTEXT) / SLACK) == share
    assert Machine(8, 1.0).gpu_share(gib * GIB) == 0


def test_more_threads_than_cores_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match="--threads is 9"):
        Machine(8, 100.0).share_out(1, None, threads=9)


def test_a_containers_free_memory_counts_what_files_read_before_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"max": "1000", "current": "900", "stat": "anon 100\ninactive_file 600"}
    for name, text in files.items():
        (tmp_path / f"memory.{name}").write_text(f"{text}\n")
    monkeypatch.setattr("lamm.memory.CGROUP", tmp_path)
    assert free_bytes(torch.device("cpu")) == 700


def test_this_machine_has_cores_and_memory() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory > 0
