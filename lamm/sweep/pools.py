"""Runs on this machine without Ray: a thread a slot, each with a warm process."""

import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread
from types import ModuleType, TracebackType
from typing import Any

from lamm.errors import ConfigError
from lamm.sweep.machine import SMALLEST_SHARE, Machine, Slots, gpu_memories, gpu_share
from lamm.sweep.worker import DIED, Ended, Order, Setup, Started, WarmProcess

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


OBJECT_STORE_BYTES = 80 * 2**20
ANSWER_SECONDS = 5.0
STATUS_SECONDS = 20.0


def import_ray() -> ModuleType:
    """Ray, told not to send anything anywhere.

    Raises:
        ConfigError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError('sweeps run on Ray: pip install -e ".[sweep]", or give --local to do without') from error
    found: ModuleType = ray
    return found


@contextmanager
def ray_here(slots: Slots, gpus: int) -> Iterator[None]:
    """Ray on this machine alone, as small as it goes; it ends with the context.

    Args:
        slots: its CPUs are those of all runs at once.
        gpus: number of GPUs.
    """
    ray = import_ray()
    folder = tempfile.mkdtemp(prefix="lamm-ray-")
    try:
        ray.init(
            address="local",
            num_cpus=slots.jobs * slots.threads,
            num_gpus=gpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_at(address: str) -> Iterator[Machine]:
    """A cluster, left when the context ends; what it has to offer, as if it were one machine.

    Args:
        address: HOST:PORT of its head, or `auto` on one of its nodes.

    Raises:
        ConfigError: there is no cluster.
    """
    ray = import_ray()
    _require_answer(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"no Ray cluster at --address {address} ({reason})") from error
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        cores = sum(int(node["Resources"].get("CPU", 0)) for node in nodes)
        yield Machine(cores, float("inf"), _gpus(ray, [node for node in nodes if node["Resources"].get("GPU", 0)]))
    finally:
        ray.shutdown()


def _gpus(ray: ModuleType, nodes: list[dict[str, Any]]) -> tuple[int, ...]:
    """Bytes of memory of each GPU; each node is asked for one of its own, the others count as alike."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, num_gpus=SMALLEST_SHARE)(gpu_memories)
    answers = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
        for node in nodes
    ]
    counts = [int(node["Resources"]["GPU"]) for node in nodes]
    return tuple(size for sizes, count in zip(ray.get(answers), counts, strict=True) for size in sizes[:1] * count)


def _require_answer(address: str) -> None:
    """Refuse what is no cluster within seconds; Ray itself would try for many minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ConfigError(f"--address is {address}, but must be HOST:PORT of a Ray cluster's head, or auto")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise ConfigError(f"nothing answers at --address {address} ({error}): ray start --head begins one") from None
    asked = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        subprocess.run(asked, timeout=STATUS_SECONDS, check=True, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"what answers at --address {address} is no Ray cluster") from None
    except subprocess.CalledProcessError as error:
        reason = next(iter(reversed(error.stderr.strip().splitlines())), "no reason given")
        raise ConfigError(
            f"the Ray cluster at --address {address} refuses ({reason[:160]}); one that wants a token takes "
            "RAY_AUTH_MODE=token"
        ) from None


VISIBLE_RAY_POOL = "CUDA_VISIBLE_DEVICES"


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
    seen = os.environ.get(VISIBLE_RAY_POOL)
    yield _warm.carry_out(order, {} if seen is None else {VISIBLE_RAY_POOL: seen})
