"""A process that has imported what runs need and forks each run off itself, so that a run begins at once.

    python -m lamm.sweep.warm_process TRAIN_SCRIPT MODULE...

Requests come on stdin and answers go to stdout, one JSON object a line (`warm_client` is the other end). A run is
`main` of TRAIN_SCRIPT in a process of its own, so that a crash takes that run alone. When stdin closes, because the
client is gone however it ended, the run is killed with all its processes; so it is when this process is killed.
"""

import fcntl
import importlib
import json
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

from tqdm import tqdm

LOOK_SECONDS = 1.0
"""How often to look whether a run has ended whose own workers keep its pipe open."""


def serve(train_script: str, modules: Sequence[str]) -> None:
    """Answer requests until stdin closes.

    Args:
        train_script: file with `train_parser` and `main`, the two halves of a command, and the `run` that takes them.
        modules: imported first.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    tqdm.monitor_interval = 0  # its thread could hold a lock at the moment of a fork
    for module in modules:
        importlib.import_module(module)
    script = runpy.run_path(train_script)
    fork = multiprocessing.get_context("fork")
    while (line := sys.stdin.readline()) and not _client_is_gone(0.0):
        process = fork.Process(target=carry_out, args=(script, json.loads(line)))
        process.start()
        while process.is_alive() and not _client_is_gone(LOOK_SECONDS, process.sentinel):
            pass
        kill_group(process)  # it, or its workers that outlived it
        with suppress(BrokenPipeError):
            answers.write(json.dumps({"code": process.exitcode}) + "\n")
            answers.flush()


def carry_out(script: Mapping[str, Callable[..., Any]], request: Mapping[str, Any]) -> None:
    """One run, in the forked process; never returns.

    Args:
        script: the train script's names.
        request: `words` of its command line, `log` file, working `folder`, `environment` to add.
    """
    os.setsid()
    Thread(target=_die_with_parent, daemon=True).start()
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    os.makedirs(os.path.dirname(request["log"]), exist_ok=True)
    log = open(request["log"], "a", encoding="utf-8")  # noqa: SIM115  (open, and so locked, as long as the run lives)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(log, fcntl.LOCK_EX)
    for output in (sys.stdout, sys.stderr):
        output.flush()
        os.dup2(log.fileno(), output.fileno())
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [script["__file__"], *request["words"]]  # type: ignore[list-item]
    script["run"](script["train_parser"](), script["main"], request["words"])


def kill_group(process: BaseProcess) -> None:
    """Kill what is left of a run: the process and the workers that it started."""
    assert process.pid is not None, "a run's process has been started"
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():  # not yet the head of a group
        process.kill()
    process.join()


def _client_is_gone(seconds: float, *others: int) -> bool:
    """Wait until stdin closes or one of the others is ready; whether it was stdin.

    A client sends nothing before it has its answer, so that there is nothing to read from stdin but its end.
    """
    return sys.stdin.fileno() in wait([sys.stdin.fileno(), *others], seconds)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a run is a forked process"
    parent.join()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
