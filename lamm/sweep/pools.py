"""Where runs go: this machine, or Ray. Both are an executor and a function `carry_out(words, log)` for it to call."""

import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from threading import Lock, Thread
from types import ModuleType
from typing import Any

from lamm.errors import ConfigError
from lamm.sweep.machine import SMALLEST_SHARE, Machine, gpu_memories
from lamm.sweep.worker import DIED, Outcome, Worker

VISIBLE = "CUDA_VISIBLE_DEVICES"
OBJECT_STORE_BYTES = 80 * 2**20
ANSWER_SECONDS = 5.0
STATUS_SECONDS = 20.0
POLL_SECONDS = 0.5

CarryOut = Callable[[Sequence[str], str], Outcome]
Pool = tuple[Executor, CarryOut]


@contextmanager
def local_pool(command: str, threads: int, jobs: int, gpus: int = 0) -> Iterator[Pool]:
    """Runs on this machine, which end with the context.

    Args:
        command: see `Worker`.
        threads: of each run.
        jobs: runs at once.
        gpus: number of GPUs, one for each run; 0: runs see what this process sees.
    """
    visible = os.environ.get(VISIBLE)
    names = (visible.split(",") if visible else [str(number) for number in range(gpus)])[:gpus]
    free: queue.SimpleQueue[str] = queue.SimpleQueue()  # a GPU for each of the runs at once, in turn
    for number in range(jobs if names else 0):
        free.put(names[number % len(names)])

    def carry_out(words: Sequence[str], log: str) -> Outcome:
        if not names:
            return worker.carry_out(words, log)
        name = free.get()
        try:
            return worker.carry_out(words, log, {VISIBLE: name})
        finally:
            free.put(name)

    executor = ThreadPoolExecutor(jobs)
    worker = Worker(command, threads, os.getcwd())
    try:
        yield executor, carry_out
    finally:
        worker.close()
        executor.shutdown(cancel_futures=True)


class RayExecutor(Executor):
    """Futures of Ray tasks. Ray must have been started (`ray_pool`); its end is the end of the runs.

    Args:
        threads: CPUs of each task.
        gpu_share: part of a GPU that each task takes.
    """

    def __init__(self, threads: int, gpu_share: float = 0.0) -> None:
        self._ray = import_ray()
        # Memory on a GPU is that of a process below Ray's worker, so that the worker can be used again (max_calls).
        task = self._ray.remote(max_retries=0, max_calls=0)(_in_two_steps)
        self._task = task.options(num_cpus=threads, num_gpus=gpu_share)
        self._pending: dict[Any, Future[Any]] = {}
        self._lock = Lock()
        self._closed = False
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor`. A function that Ray loses ends as an `Outcome` of a run that died."""
        future: Future[Any] = Future()
        with self._lock:
            self._pending[self._task.remote(partial(function, *args, **kwargs))] = future
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Follow the tasks no longer."""
        self._closed = True
        self._thread.join()

    def _follow(self) -> None:
        """Each task yields twice: as it begins, and its result."""
        while not self._closed:
            with self._lock:
                tasks = list(self._pending)
            if not tasks:
                time.sleep(POLL_SECONDS)
                continue
            ready, _ = self._ray.wait(tasks, num_returns=1, timeout=POLL_SECONDS)
            for task in ready:
                future = self._pending[task]
                try:
                    result = self._ray.get(next(task))
                except (StopIteration, self._ray.exceptions.RayError) as error:
                    reason = next(iter(str(error).splitlines()), type(error).__name__)
                    result = Outcome(DIED, 0.0, f"lost by Ray: {reason}")
                if result is None:
                    future.set_running_or_notify_cancel()
                    continue
                with self._lock:
                    del self._pending[task]
                future.set_result(result)


def _in_two_steps(function: Callable[[], Outcome]) -> Iterator[Outcome | None]:
    """A Ray task."""
    yield None
    yield function()


@contextmanager
def ray_pool(command: str, threads: int, gpu_share: float = 0.0) -> Iterator[Pool]:
    """Runs on the Ray that has been started.

    Args:
        command: see `Worker`.
        threads: of each run.
        gpu_share: part of a GPU that each run takes.
    """
    with RayExecutor(threads, gpu_share) as executor:
        yield executor, partial(carry_out_in_ray, command, threads, os.getcwd())


def carry_out_in_ray(command: str, threads: int, folder: str, words: Sequence[str], log: str) -> Outcome:
    """One run, in a Ray task; on the GPU that Ray has chosen for it."""
    visible = os.environ.get(VISIBLE)
    environment = {} if visible is None else {VISIBLE: visible}
    return _ray_worker(command, threads, folder).carry_out(words, log, environment)


_ray_worker = lru_cache(1)(Worker)


def import_ray() -> ModuleType:
    """Ray, told not to send anything anywhere.

    Raises:
        ConfigError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError('--address needs Ray: pip install -e ".[sweep]"') from error
    module: ModuleType = ray
    return module


@contextmanager
def ray_here(cpus: int, gpus: int) -> Iterator[None]:
    """Ray on this machine alone, as small as it goes; it ends with the context.

    Args:
        cpus: of all runs at once.
        gpus: number of GPUs.
    """
    ray = import_ray()
    folder = tempfile.mkdtemp(prefix="lamm-ray-")
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
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
    """A cluster, left when the context ends; what it offers, as if it were one machine.

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
    """Refuse what is not a cluster within seconds; Ray itself would try for many minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ConfigError(f"--address is {address}, but must be HOST:PORT of a Ray cluster's head, auto or local")
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise ConfigError(f"nothing answers at --address {address} ({error}): ray start --head begins one") from None
    asked = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        subprocess.run(asked, timeout=STATUS_SECONDS, check=True, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"what answers at --address {address} is not a Ray cluster") from None
    except subprocess.CalledProcessError as error:
        reason = next(iter(reversed(error.stderr.strip().splitlines())), "no reason given")
        raise ConfigError(
            f"the Ray cluster at --address {address} refuses ({reason[:160]}); one that wants a token takes "
            "RAY_AUTH_MODE=token"
        ) from None
