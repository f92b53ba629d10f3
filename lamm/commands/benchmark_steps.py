"""What `lamm benchmark` prints of models with random weights: training steps, TopLAMM's, the image tower, the suite.

`lamm/commands/benchmark.py` says what is measured.
"""

import argparse
import functools
import itertools
import time

import torch
from lamm_trainers.traits import ALIGNED, BOTH, PROMPTS, TUNED
from tabulate import tabulate
from torch import nn

from lamm.benchmark.comparison import SIDES, STEP, Row, compare, compare_ways, draw_cost, readable_table
from lamm.benchmark.gpu import Measurements
from lamm.benchmark.random_steps import RandomSteps
from lamm.benchmark.steps import MARK, TrainingStep, own_device, seconds_with_ranks, shared_out_seconds
from lamm.benchmark.suite import Part, Report, run_parts
from lamm.benchmark.tower import OURS, compare_towers
from lamm.clip.loading import untrained_clip
from lamm.errors import ConfigError, unknown_name
from lamm.files import require_place, write_json
from lamm.parallel.ranks import Launch, joined_group, launch_of
from lamm.results.figure import require_picture

TRAINERS = [*PROMPTS, *ALIGNED, *TUNED, *BOTH]
STEP_MARK, TOP_MARK, TOWER_MARK = '"text_fast_s": ', '"way": "last ', f'"way": "{OURS}"'
TOWER = {"ms": 1, "ratio": 2, "share": 2, "cosine": 5}  # column → digits


def training_step(arguments: argparse.Namespace) -> None:
    """Both paths for each trainer, precision and number of classes."""
    arguments.trainers = arguments.trainers or TRAINERS
    check(arguments)
    launch = launch_of()
    if launch is not None:
        as_one_of_several(arguments, launch)
        return
    device = own_device(0)
    model = untrained_clip(arguments.backbone).to(device)
    rows: list[Row] = []
    for trainer, precision, classes in itertools.product(arguments.trainers, arguments.precision, arguments.classes):
        steps = RandomSteps(trainer, model, arguments.backbone, classes, arguments.chunk)
        fast = steps.fast(precision, arguments.cached)
        row = compare(trainer, classes, fast, steps.plain, device, arguments.rounds or 1, arguments.plain_at_most)
        row |= with_ranks(row, fast, arguments)
        rows.append(row)
        print(
            f"{trainer}, {classes} classes, {precision}: text side {row['text_ratio']:.1f} x, "
            f"step {row['step_ratio']:.1f} x, gemm share {row['gemm_share']:.2f}",
            flush=True,
        )
        if arguments.json is not None:
            write_json(arguments.json, rows)
    threads = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    cached = ", image features cached on our path" if arguments.cached else ""
    print(f"\n{arguments.backbone}, against fp32{cached}, {threads}\n\n{readable_table(rows, SIDES)}\n")
    print(readable_table(rows, STEP))
    for row in rows:
        if row["plain_classes"] < row["classes"]:
            scaled = f"the plain path ran with {row['plain_classes']} and is scaled up"
            print(f"{row['trainer']}, {row['classes']} classes: {scaled}")
    if arguments.plot is not None:
        draw_cost(rows, arguments.plot)
        print(f"wrote {arguments.plot}")


def top(arguments: argparse.Namespace) -> None:
    """TopLAMM's step in several ways, for each precision and number of classes."""
    require_file(arguments, "json", TOP_MARK)
    device = own_device(0)
    written: list[Row] = []
    model = untrained_clip(arguments.backbone).to(device)
    for precision, classes in itertools.product(arguments.precision, arguments.classes):
        steps = RandomSteps("TopLAMM", model, arguments.backbone, classes, arguments.chunk)
        rows = compare_ways(steps.ways_to_tune(precision), device, arguments.rounds or 3)
        written += [{"classes": classes, "precision": precision, **row} for row in rows]
        cells = [[row["way"], f"{row['step_s']:.3f}", f"{row['ratio']:.2f}", f"{row['peak_mb']:.0f}"] for row in rows]
        print(f"\n{arguments.backbone}, {classes} classes, {precision}, {torch.get_num_threads()} threads\n")
        print(tabulate(cells, headers=["way", "s per step", "ratio", "peak MiB"], disable_numparse=True), flush=True)
        if arguments.json is not None:
            write_json(arguments.json, written)


def tower(arguments: argparse.Namespace) -> None:
    """The image tower in several ways, for each precision."""
    require_file(arguments, "json", TOWER_MARK)
    device = own_device(0)
    written: list[Row] = []
    model = untrained_clip(arguments.backbone).to(device).eval()
    for precision in arguments.precision:
        rows = compare_towers(model, precision, arguments.batch, arguments.rounds or 5, device)
        written += [{"precision": precision, **row} for row in rows]
        cells = [
            [row["way"], "not measured", row["problem"]]
            if "problem" in row
            else [row["way"], *(f"{row[name]:.{digits}f}" for name, digits in TOWER.items())]
            for row in rows
        ]
        threads = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
        print(f"\n{arguments.backbone}, {precision}, {arguments.batch} images at once, {threads}\n")
        print(tabulate(cells, headers=["way", "ms per image", *list(TOWER)[1:]], disable_numparse=True), flush=True)
        if arguments.json is not None:
            write_json(arguments.json, written)


def suite(arguments: argparse.Namespace) -> None:
    """All that is to be known about this machine, within the time."""
    end = time.monotonic() + 60 * arguments.minutes
    check(arguments)
    device = own_device(0)
    named = {"backbone": arguments.backbone, "minutes": f"{arguments.minutes:g}"}
    report = Report(arguments.output, device, named)

    @functools.cache
    def model(place: torch.device) -> nn.Module:
        return untrained_clip(arguments.backbone).to(place)

    def steps(trainer: str, place: torch.device, classes: int) -> RandomSteps:
        return RandomSteps(trainer, model(place), arguments.backbone, classes, arguments.chunk)

    def tell(part: Part) -> None:
        report.write(parts)
        print(f"{part.kind}: {part.name}: {part.status} ({part.seconds:.1f} s)", flush=True)

    model(device)  # an unknown backbone ends it here
    measurements = Measurements(
        device, arguments.backbone, model, steps, arguments.rounds or 1, arguments.plain_at_most
    )
    parts = measurements.parts(
        arguments.trainers, arguments.classes, arguments.precision, arguments.shots, arguments.epochs
    )
    report.write(parts)
    run_parts(parts, end - time.monotonic(), tell)
    print(f"wrote {report.json} and {report.page}")


def check(arguments: argparse.Namespace) -> None:
    """Refuse names that don't exist and places that can't be written to, before anything takes time."""
    unknown = [name for name in arguments.trainers if name not in TRAINERS]
    if unknown:
        raise ConfigError(unknown_name("trainer that learns", unknown[0], TRAINERS))
    require_file(arguments, "json", STEP_MARK)
    require_file(arguments, "plot")


def require_file(arguments: argparse.Namespace, flag: str, mark: str = "") -> None:
    """Refuse a place for an output file that can't be written to, or that holds something else.

    Args:
        arguments: of the command.
        flag: `json` or `plot`.
        mark: what a JSON file that may be replaced has in it.
    """
    file = getattr(arguments, flag)
    if file is None:
        return
    if not file.resolve().parent.is_dir():
        raise ConfigError(f"{file.parent} is not a folder: --{flag} writes into one that exists")
    if flag == "plot":
        require_picture(file)
    else:
        require_place(file, mark)


def with_ranks(row: Row, step: TrainingStep, arguments: argparse.Namespace) -> dict[str, float]:
    """The same step with one process and with several; nothing where it was not asked for."""
    if arguments.ranks < 2:
        return {}
    alone = shared_out_seconds(step)
    command = ["-m", "lamm.commands", "benchmark", "--trainers", row["trainer"], "--classes", str(row["classes"])]
    command += ["--precision", row["precision"], "--backbone", arguments.backbone, "--chunk", str(arguments.chunk)]
    command += ["--cached"] * arguments.cached
    seconds = seconds_with_ranks(command, arguments.ranks, torch.get_num_threads())
    return {"ranks": arguments.ranks, "alone_s": alone, "ranks_s": seconds, "ranks_ratio": alone / seconds}


def as_one_of_several(arguments: argparse.Namespace, launch: Launch) -> None:
    """What a process of `torchrun` does: our path alone, shared out over all of them."""
    model = untrained_clip(arguments.backbone).to(own_device(launch.local_rank))
    with joined_group(launch):
        for trainer, precision, classes in itertools.product(
            arguments.trainers, arguments.precision, arguments.classes
        ):
            steps = RandomSteps(trainer, model, arguments.backbone, classes, arguments.chunk)
            seconds = shared_out_seconds(steps.fast(precision, arguments.cached))
            if launch.rank == 0:
                print(f"{MARK}{seconds!r}", flush=True)
