"""Runs on this machine without Ray: a thread a slot, each with a warm process."""

import os
import queue
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from types import TracebackType

from lamm.sweep.order import Ended, Order, Setup, Started
from lamm.sweep.warm_client import WarmProcess

VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalPool:
    """A pool of warm processes; slots take the GPUs in turn. Leaving the context ends the runs.

    Args:
        setup: what the runs have in common.
        jobs: runs at once.
        gpus: number of GPUs; 0: runs see what this process sees.
    """

    def __init__(self, setup: Setup, jobs: int, gpus: int = 0) -> None:
        self._orders: queue.Queue[Order | None] = queue.Queue()
        self._events: queue.Queue[Started | Ended] = queue.Queue()
        self._closed = False
        self._processes = [WarmProcess(setup) for _ in range(jobs)]
        own = _own_environments(gpus)
        self._threads = [
            Thread(target=self._work, args=(process, own[number % len(own)]), daemon=True)
            for number, process in enumerate(self._processes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, order: Order) -> None:
        """See `Pool`."""
        self._orders.put(order)

    def next_event(self, timeout: float) -> Started | Ended | None:
        """See `Pool`."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        """End everything, runs included."""
        self._closed = True
        for _ in self._threads:
            self._orders.put(None)
        with ThreadPoolExecutor(len(self._processes)) as closing:
            list(closing.map(WarmProcess.close, self._processes))
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _work(self, process: WarmProcess, environment: dict[str, str]) -> None:
        while (order := self._orders.get()) is not None and not self._closed:
            self._events.put(Started(order.number))
            self._events.put(process.carry_out(order, environment))


def _own_environments(gpus: int) -> list[dict[str, str]]:
    """What the runs of each GPU get; a list of one where there is none to choose."""
    seen = os.environ.get(VISIBLE)
    names = seen.split(",") if seen else [str(number) for number in range(gpus)]
    return [{VISIBLE: name} for name in names[:gpus]] or [{}]
