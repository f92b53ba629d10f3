"""Ray itself: a small one on this machine, or a cluster that is there already."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from lamm.errors import ConfigError
from lamm.sweep.machine import Machine, gpu_memories
from lamm.sweep.slots import SMALLEST_SHARE, Slots

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
