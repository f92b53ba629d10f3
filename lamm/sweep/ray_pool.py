"""Runs as Ray tasks, each with the CPUs of its threads and its share of a GPU.

A task asks the warm process of the Ray worker that it is on, so that workers, which Ray uses again, import once. A
task that Ray loses, with its worker or its node, is a run that was killed.
"""

import os
from collections import deque
from collections.abc import Iterator
from typing import Any

from lamm.sweep.order import Ended, Order, Setup, Started
from lamm.sweep.ray_cluster import import_ray
from lamm.sweep.slots import gpu_share
from lamm.sweep.warm_client import DIED, WarmProcess

VISIBLE = "CUDA_VISIBLE_DEVICES"


class RayPool:
    """A pool of Ray tasks; Ray must be there (`ray_cluster`), and its end is the end of the runs.

    Args:
        setup: what the runs have in common.
        smallest_gpu: bytes of the smallest GPU; 0: runs take none.
    """

    def __init__(self, setup: Setup, smallest_gpu: int = 0) -> None:
        self._ray = import_ray()
        self._setup, self._gpu = setup, smallest_gpu
        # The runs' memory on a GPU is not the worker's, so that the worker can be used again.
        self._task = self._ray.remote(max_retries=0, max_calls=0)(carry_out)
        self._running: dict[Any, int] = {}
        self._events: deque[Started | Ended] = deque()

    def submit(self, order: Order) -> None:
        """See `Pool`."""
        share = gpu_share(order.memory, self._gpu) if self._gpu else 0
        task = self._task.options(num_cpus=self._setup.threads, num_gpus=share)
        self._running[task.remote(order, self._setup)] = order.number

    def next_event(self, timeout: float) -> Started | Ended | None:
        """See `Pool`."""
        if not self._events:
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
            self._events.extend(map(self._event_of, ready))
        return self._events.popleft() if self._events else None

    def _event_of(self, task: Any) -> Started | Ended:
        """The next thing that a task tells; with its end it is forgotten."""
        number = self._running[task]
        try:
            event: Started | Ended = self._ray.get(next(task))
        except (StopIteration, self._ray.exceptions.RayError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            event = Ended(number, DIED, 0.0, f"lost by Ray: {reason}")
        if isinstance(event, Ended):
            del self._running[task]
        return event


_warm: WarmProcess | None = None


def carry_out(order: Order, setup: Setup) -> Iterator[Started | Ended]:
    """A Ray task: one run, in the warm process of the worker that the task is on."""
    global _warm
    yield Started(order.number)
    if _warm is None or _warm.setup != setup:
        if _warm is not None:
            _warm.close()
        _warm = WarmProcess(setup)
    seen = os.environ.get(VISIBLE)
    yield _warm.carry_out(order, {} if seen is None else {VISIBLE: seen})
