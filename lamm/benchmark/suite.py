"""Measurements that run unattended within a time: what fits is measured, the rest is listed; JSON and a page."""

import gc
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from lamm.benchmark.comparison import SIDES, STEP, Row, readable_table
from lamm.errors import ConfigError
from lamm.escaping import printable
from lamm.files import require_place, write_json, write_text
from lamm.memory import free_bytes

JSON_FILE, PAGE_FILE = "gpu.json", "gpu.html"
JSON_MARK = '"suite": "gpu"'
PAGE_MARK = '<meta name="generator" content="LAMM benchmark suite">'
WAITING, MEASURED = "not measured yet", "measured"
NO_TIME = "not measured: no time left"
STOPPED = "stopped: no time left"
AGAIN = 5.0  # seconds after which an alarm that nothing heeded is given again
LONGEST = 300  # characters of an error


@dataclass
class Part:
    """One measurement of a suite.

    Attributes:
        kind: names the table of its rows; parts of one kind say something about each other's time.
        name: of the part among its kind.
        work: how long it takes, as a ratio to others of its kind; 0: it bounds its time itself.
        measure: from the seconds that are left to its rows.
        status: `MEASURED`, or why there are no rows.
        seconds: that it took.
        rows: what came of it.
    """

    kind: str
    name: str
    work: float
    measure: Callable[[float], list[Row]]
    status: str = WAITING
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """All that is known about it, for a JSON file."""
        return {name: getattr(self, name) for name in ("kind", "name", "status", "seconds", "rows")}


def run_parts(
    parts: Sequence[Part], seconds: float, tell: Callable[[Part], None], clock: Callable[[], float] = monotonic
) -> None:
    """Measure the parts, one after another, for as long as there is time.

    A part that probably takes longer than what is left is left out. One that takes longer nevertheless is stopped when
    the time is up, and one that fails is a line; the next ones go on.

    Args:
        parts: the most valuable first; what comes of them is written into them.
        seconds: for all of them.
        tell: called after each part.
        clock: seconds from any start.
    """
    end = clock() + seconds
    for number, part in enumerate(parts):
        left = end - clock()
        if left <= 0 or expected_seconds(part, parts[:number]) > left:
            part.status = NO_TIME
        else:
            began = clock()
            try:
                with at_most(left):
                    part.rows = part.measure(left)
                part.status = MEASURED
            except OutOfTime:
                part.status = STOPPED
            except Exception as error:  # such as no memory, or a precision that the device lacks
                lines = str(error).strip().splitlines() or [""]
                part.status = f"failed: {type(error).__name__}: {printable(lines[0])[:LONGEST]}"
            part.seconds = clock() - began
            if part.status != MEASURED or torch.cuda.is_available():
                gc.collect()  # learners whose parts refer to each other hold memory
                with suppress(RuntimeError):  # a GPU that fails at all it is asked from now on
                    torch.cuda.empty_cache()
        tell(part)


def expected_seconds(part: Part, earlier: Sequence[Part]) -> float:
    """By the earlier part of its kind whose work is most like its own, in proportion; 0 if there is none."""
    known = [one for one in earlier if one.kind == part.kind and one.status == MEASURED and one.work]
    if not (known and part.work):
        return 0.0
    nearest = min(reversed(known), key=lambda one: max(one.work / part.work, part.work / one.work))
    return nearest.seconds * part.work / nearest.work


class OutOfTime(Exception):
    """A part was still running when the time was up."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stop the block after so many seconds, between two calls of libraries, with `OutOfTime`."""

    def stop(*_: object) -> None:
        raise OutOfTime

    usual = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def device_facts(device: torch.device) -> dict[str, str]:
    """Name, memory, versions and types of numbers of a device, to be read."""
    gigabytes = f"{free_bytes(device) / 1e9:.1f} GB free"
    facts = {"torch": torch.__version__, "Python": platform.python_version()}
    if device.type != "cuda":
        cpu = f"CPU, {platform.machine()}, {torch.get_num_threads()} threads, {os.cpu_count()} cores"
        return {"device": cpu, "memory": gigabytes, **facts, "types": "fp32, bf16"}
    known = torch.cuda.get_device_properties(device)
    types = ["fp32", "fp16", *["bf16"] * torch.cuda.is_bf16_supported()]
    driver = ""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        with suppress(OSError, subprocess.SubprocessError):
            driver = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split("\n")[0]
    tf32 = {"products": torch.backends.cuda.matmul.allow_tf32, "convolutions": torch.backends.cudnn.allow_tf32}
    return {
        "device": f"{known.name}, compute capability {known.major}.{known.minor}",
        "memory": f"{known.total_memory / 1e9:.1f} GB, {gigabytes}",
        **facts,
        "CUDA": f"{torch.version.cuda}, driver {driver or 'unknown'}",
        "types": ", ".join(types),
        "TF32 in timings": ", ".join(name for name, used in tf32.items() if used) or "no",
    }


class Report:
    """The suite's two files.

    Args:
        folder: where they go; it need not exist.
        device: that is measured.
        options: what the suite was asked for, name → text.

    Raises:
        ConfigError: the folder can't hold them, or has files of these names that are not ours.
    """

    def __init__(self, folder: Path, device: torch.device, options: dict[str, str]) -> None:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file; --output is the folder for the suite's files")
        self.json, self.page = folder / JSON_FILE, folder / PAGE_FILE
        require_place(self.json, JSON_MARK)
        require_place(self.page, PAGE_MARK)
        facts = device_facts(device)
        gpu = f"LAMM on {facts['device'].split(',')[0]}"
        title = gpu if device.type == "cuda" else "LAMM on a CPU: a trial of the GPU suite"
        began = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
        self._head = {"suite": "gpu", "title": title, "began": began, "device": facts, "options": options}

    def write(self, parts: Sequence[Part]) -> None:
        """Write what is known up to now; both files are always whole."""
        report = {**self._head, "parts": [part.record() for part in parts]}
        write_json(self.json, report)
        write_text(self.page, page_of(report))


NAMED = {"trainer": "trainer", "classes": "classes", "precision": "precision", "cached": "features cached"}
EQUALITY = {
    **NAMED,
    **{f"{name}_difference": f"{name}: largest difference" for name in ("text", "image")},
    **{f"{name}_difference": f"{name}: relative difference" for name in ("loss", "gradient")},
    **{f"{name}_cosine": f"{name}: lowest cosine" for name in ("text", "image", "gradient")},
}
TRAINING = {
    **{name: name for name in ("trainer", "classes", "images", "epochs", "precision")},
    **{"seconds": "seconds", "extrapolated": "extrapolated", "epochs_done": "epochs done", "start_s": "start s"},
    **{"step_s": "step s", "cuda_peak_mb": "peak CUDA MB", "process_peak_mb": "peak of the process, MB"},
}
QUEUED = {"queued_s": "queued step s", "plain_classes": "plain path's classes"}
# Kind → heading, what it is, and the tables of its rows.
KINDS = {
    "equality": (
        "Equality with the CPU",
        "One step with the same learner, weights and inputs on this device, beside the CPU in fp32. TF32 is off. Under "
        "amp the loss is multiplied by 1024 while gradients are computed.",
        (EQUALITY,),
    ),
    "step": (
        "One training step",
        "Fast is this project's path, plain the original code's: 77 positions in fp32, image tower and teacher in each "
        "step. Seconds of stages are measured one by one, waiting for the device in between; the queued step is, on "
        "a GPU, one of ten in a row without waiting. Weights are random. Loss scaling of amp is left out. A plain path "
        "of fewer classes is scaled up. Memory is that of the text side beyond weights and batch: on a GPU what "
        "torch's allocator counts, on a CPU what tensors hold.",
        ({**NAMED, **SIDES}, {**NAMED, **STEP, **QUEUED}),
    ),
    "training": (
        "A whole training",
        "LAMM's own trainer, config, loss, optimizer and schedule, with the precision that a run has by default; "
        "random unit features on the device stand in for cached image features, so that no image is read. "
        "Counted are the prompts, all epochs and the files at the end; nothing is tested. Where the time did not "
        "suffice, seconds are extrapolated from the epochs done.",
        (TRAINING,),
    ),
}
STYLE = (
    "body{font:16px/1.45 system-ui,sans-serif;margin:1rem auto;padding:0 1rem;max-width:75rem}"
    "div{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;font-size:.85rem}"
    "th,td{padding:.3rem .6rem;border-bottom:1px solid #ccc;text-align:left;white-space:nowrap}"
)


def page_of(report: dict[str, Any]) -> str:
    """One HTML page of what a JSON file of the suite holds; it needs nothing beside it."""

    def table(rows: list[Row], columns: dict[str, str]) -> str:
        return f"<div>{readable_table(rows, columns, 'html')}</div>"

    facts = {**report["device"], **report["options"], "began": report["began"]}
    title, parts = escape(report["title"]), report["parts"]
    body = [f"<h1>{title}</h1>", table([{"fact": a, "value": b} for a, b in facts.items()], {"fact": "", "value": ""})]
    for kind, (heading, text, tables) in KINDS.items():
        rows = [row for part in parts if part["kind"] == kind for row in part["rows"]]
        body += [f"<h2>{escape(heading)}</h2>", f"<p>{escape(text)}</p>"]
        body += [table(rows, columns) for columns in tables] if rows else ["<p>Nothing was measured.</p>"]
    body += ["<h2>Parts</h2>", table(parts, {name: name for name in ("kind", "status", "name", "seconds")})]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{PAGE_MARK}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )
