"""`lamm.sweep.machine`: how runs share cores, memory and GPUs."""

import pytest

from lamm.errors import ConfigError
from lamm.sweep.machine import GIB, GPU_CONTEXT, SLACK, Machine, this_machine

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


def test_this_machine_has_cores_and_memory() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory > 0
