"""Processes of one run beside each other in this program, and the losses and metrics that they note."""

import json
import multiprocessing
import multiprocessing.connection
import os
import shlex
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lamm_trainers.base as base
import torch
import torch.distributed as dist

from lamm.parallel.command import run
from lamm.parallel.ranks import Ranks, current_ranks, joined_group, launch_of
from lamm.run.arguments import train_parser
from tests.train_command import command_module

# Seconds: for a run, on a machine that may be busy; and for the others when one has failed.
PATIENCE, GRACE = 90.0, 15.0


class Outcome(NamedTuple):
    """How a process ended: its exit code (minus the signal that killed it), and what it printed."""

    code: int
    out: str
    err: str


def gathered(work: Callable[[Ranks], Any], size: int) -> list[Any]:
    """What `work` returns in each of `size` processes that can exchange."""
    pipes = [multiprocessing.Pipe(duplex=False) for _ in range(size)]  # what goes through one at a time can be mixed

    def body() -> None:
        launch = launch_of()
        assert launch is not None
        with joined_group(launch):
            pipes[launch.rank][1].send(work(current_ranks()))

    codes = _fork(body, size)
    assert codes == [0] * size
    return [receiver.recv() for receiver, _ in pipes]


def train_together(line: str, size: int, folder: Path, before: Callable[[int], None] | None = None) -> list[Outcome]:
    """`torchrun --nproc_per_node SIZE train.py LINE`; of size 1, without torchrun.

    Args:
        line: arguments of train.py.
        size: number of processes.
        folder: for what they print.
        before: called in each process, with its rank, before anything else.
    """

    def body() -> None:
        rank = int(os.environ.get("RANK", "0"))
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / f"{name}{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        if before is not None:
            before(rank)
        run(train_parser(), command_module("train").main, shlex.split(line))

    codes = _fork(body, size)
    texts = [[(folder / f"{name}{rank}").read_text() for name in ("out", "err")] for rank in range(size)]
    return [Outcome(code, *text) for code, text in zip(codes, texts, strict=True)]


def _fork(body: Callable[[], None], size: int) -> list[int]:
    """Run `body` in processes as torchrun starts them; like it, keep their store, and end who outlives a failed one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = dist.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_child, args=(body, rank, size, port)) for rank in range(size)]
    for process in processes:
        process.start()
    until = time.monotonic() + PATIENCE
    while any(process.is_alive() for process in processes) and time.monotonic() < until:
        multiprocessing.connection.wait([process.sentinel for process in processes if process.is_alive()], timeout=1)
        if any(process.exitcode for process in processes):
            until = min(until, time.monotonic() + GRACE)
    for process in processes:
        process.kill()
        process.join()
    del store
    return [int(process.exitcode or 0) for process in processes]


def _child(body: Callable[[], None], rank: int, size: int, port: int) -> None:
    if size > 1:
        place = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size}
        os.environ |= {name: str(value) for name, value in place.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    code = 0
    try:
        body()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


Start = Callable[..., list[Outcome]]


def note_losses(file: Path) -> None:
    """Have this process's trainer write the parts of each step's loss, a line a step."""
    step = base.PromptTrainer.forward_backward

    def noted(self: base.PromptTrainer, batch: dict[str, Any]) -> dict[str, Any]:
        shown = step(self, batch)
        with file.open("a") as lines:
            lines.write(json.dumps({name: float(value) for name, value in shown.items()}) + "\n")
        return shown

    base.PromptTrainer.forward_backward = noted  # type: ignore[method-assign]


def losses(folder: str, rank: int = 0) -> list[dict[str, float]]:
    """What `start` noted."""
    return [json.loads(line) for line in Path(f"printed-{folder}/losses{rank}").read_text().splitlines()]


def metrics(folder: str) -> dict[str, float]:
    """Of a finished run."""
    results = json.loads(Path(folder, "results.json").read_text())
    assert results["status"] == "finished"
    found: dict[str, float] = results["metrics"]
    return found
