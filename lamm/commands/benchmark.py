"""Our training step beside the original code's; with --decoding or --loading, the ways of reading photos; with --suite,
what is to be known about a machine, within a time.

    lamm benchmark --trainers LAMM CoOp --classes 100 --precision fp32 bf16 --cached --json rows.json
    lamm benchmark --trainers LAMM --classes 10 100 1000 10000 --chunk 256 --plot cost.png
    lamm benchmark --decoding --images data/caltech-101 --limit 100      # without --images: photos by code
    lamm benchmark --loading --images data/digits --size 32 --limit 160
    lamm benchmark --top --classes 100                                   # TopLAMM's step, with and without the cut
    lamm benchmark --tower --precision fp32 bf16 --batch 16              # the image tower, beside other runtimes
    lamm benchmark --suite gpu --minutes 10                              # writes benchmark-gpu/gpu.json and gpu.html

Training step: weights are random, so none are needed. The plain path is the original code's: open_clip's own
transformer on [N, 77] in fp32, the teacher encoded at each step, with gradient where the original has it. The text side
of a step is student, teacher, loss and backward, given image features; the step adds the image tower and the optimizer,
and with --cached ours has no image tower. A third of the class names each has 1, 2 and 3 sub-tokens.

Top: TopLAMM's step from cached tokens at the cut, from images, and through a copy of the whole tower beside the frozen
one, with the same blocks trained and with all of them; the text side is the same.

Tower: milliseconds per image of this project's encoder, of open_clip's own tower under autocast and torch.compile, and
on a CPU of onnxruntime and OpenVINO if they are installed; the share of the matrix products; the lowest cosine to fp32.

Decoding: CPU time of one thread for each way against that of torchvision's transforms on PIL images, how far the pixels
are from those, in levels of 255, and how alike the embedded model's features are (cosine, at its 32 × 32 pixels).

Loading: how long a few-shot epoch's images take, by number of worker processes. Workers that are kept stay from epoch
to epoch and start on the next one early. A step sleeps, as if a GPU worked.

Suite: equality with the CPU, training steps on both paths, and a whole training of LAMM on random features, in this
order, on the GPU if there is one. Both files are written anew after each part. A part that doesn't fit the time that is
left is listed as not measured, one that fails with its error.
"""

import argparse
import functools
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lamm_trainers
import torch
from lamm_trainers.base import PromptTrainer
from lamm_trainers.config import extend_cfg
from tabulate import tabulate
from torch import nn
from torch.optim import Optimizer

from lamm.benchmark.comparison import SIDES, STEP, Row, compare, compare_ways, draw_cost, readable_table
from lamm.benchmark.decoding import feature_cosines, image_files, pass_seconds, pipeline, ways, write_photos
from lamm.benchmark.gpu import Measurements
from lamm.benchmark.measure import side_by_side
from lamm.benchmark.steps import (
    MARK,
    OriginalEncoder,
    TrainingStep,
    WholeTowerStep,
    class_names,
    own_device,
    seconds_with_ranks,
    shared_out_seconds,
)
from lamm.benchmark.suite import Part, Report, run_parts
from lamm.benchmark.tower import compare_towers
from lamm.clip.loading import TINY, untrained_clip, wrap_clip
from lamm.commands.parser import Parser, at_least, run
from lamm.engine import Datum, build_optimizer, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.engine.embedded.decoding import read_image
from lamm.engine.embedded.loader import SIZED, usable_cores, worker_count
from lamm.errors import ConfigError, unknown_name
from lamm.files import require_place, write_json
from lamm.log import logger
from lamm.numbers import PROCESSES, Range
from lamm.parallel.ranks import Launch, current_ranks, joined_group, launch_of
from lamm.parallel.sharing import SharedOutTextEncoder
from lamm.results.figure import require_picture
from lamm.run.plan import trainer_config

NOISE = 0.01  # on the learned vectors: a few steps from the start, every part of the loss has a gradient
SMALLEST_BATCH = 4  # the configs' batches, but for CoCoOp's, which is 1


class RandomSteps:
    """Makes training steps of one trainer, on class names of 1, 2 and 3 sub-tokens.

    Args:
        trainer: it must learn something.
        model: an open_clip model, on its device.
        backbone: the model's name.
        classes: N.
        chunk: `TRAINER.TEXT_CHUNK` of our path.
    """

    def __init__(self, trainer: type[PromptTrainer], model: nn.Module, backbone: str, classes: int, chunk: int) -> None:
        self._trainer, self._model, self._chunk = trainer, model, chunk
        self._tiny = backbone == TINY
        self._names = class_names(wrap_clip(model, backbone).tokenizer, classes)

    def fast(self, precision: str, cached: bool = False) -> TrainingStep:
        """Our path, shared out over the current processes; `cached` has no effect on trainers that prompt the tower."""
        learner, optimizer, batch = self._parts(self._names, "TRAINER.TEXT_CHUNK", self._chunk)
        ranks, cached = current_ranks(), cached and (not learner.changes_images or hasattr(learner, "top"))
        if ranks.many:
            learner.encode_with(SharedOutTextEncoder(learner.text_encoder, ranks))
        return TrainingStep(learner, optimizer, batch, precision, cached=cached, ranks=ranks)

    def plain(self, classes: int) -> TrainingStep:
        """The original code's path with the first names: all 77 positions, in fp32, the teacher at each step."""
        learner, optimizer, batch = self._parts(self._names[:classes], "TRAINER.LAMM.TEACHER", "prompt")
        learner.encode_with(OriginalEncoder(self._model))
        return TrainingStep(learner, optimizer, batch, "fp32", teacher_each_step=True)

    def ways_to_tune(self, precision: str) -> dict[str, TrainingStep]:
        """Steps of a learner with a tuned top that learn the same blocks in several ways, and one that learns all."""
        learner, _, batch = self._parts(self._names, "TRAINER.TEXT_CHUNK", self._chunk)
        layers, trained = learner.clip.vision_sizes.layers, learner.clip.vision_sizes.layers - learner.top.first
        rate = 1e-4
        optimizer = torch.optim.SGD(learner.parameters(), lr=rate, momentum=0.9)
        return {
            f"last {trained} blocks, tokens cached": TrainingStep(learner, optimizer, batch, precision, cached=True),
            f"last {trained} blocks, from images": TrainingStep(learner, optimizer, batch, precision),
            f"whole tower, last {trained} trained": WholeTowerStep(learner, trained, rate, batch, precision),
            f"whole tower, all {layers} trained": WholeTowerStep(learner, layers, rate, batch, precision),
        }

    def _parts(self, names: Sequence[str], *override: Any) -> tuple[Any, Optimizer, int]:
        """A learner a few steps from its start, the same at every call; its optimizer; the size of a batch.

        They follow the trainer's own config for the backbone, with one key overridden.
        """
        cfg, trainer = get_cfg_default(), self._trainer
        extend_cfg(cfg)
        file = trainer_config(trainer.__name__, trainer.tiny_config if self._tiny else trainer.default_config)
        merge_config(cfg, [str(file)], [str(word) for word in override])
        torch.manual_seed(0)
        clip = wrap_clip(self._model, "random weights")
        learner = trainer.make_learner(cfg, clip, names).to(clip.logit_scale.device)
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter.add_(NOISE * torch.randn(parameter.shape).to(parameter))
        batch = max(SMALLEST_BATCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE)
        return learner, build_optimizer(learner, cfg.OPTIM), batch


LEARNING = [one for one in lamm_trainers.TRAINERS if one.learner_class is not None and one not in lamm_trainers.HEADS]
TRAINERS = {trainer.__name__: trainer for trainer in LEARNING}
# What is measured where an option doesn't say it.
USUAL: dict[str, list[Any]] = {"trainers": list(TRAINERS), "classes": [100], "precision": ["fp32"]}
USUAL_SUITE: dict[str, list[Any]] = {
    "trainers": ["LAMM", "CoOp_LAMM", "MaPLe_LAMM"],
    "classes": [100, 1000],
    "precision": ["fp32", "bf16", "amp"],
}


def main(arguments: argparse.Namespace) -> None:
    for name, values in (USUAL_SUITE if arguments.suite else USUAL).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, values)
    level = logger.level
    logger.setLevel("WARNING")  # each learner would say which encoder it has
    try:
        modes = {"decoding": decoding, "loading": loading, "top": top, "tower": tower, "suite": suite}
        next((call for name, call in modes.items() if getattr(arguments, name)), training_step)(arguments)
    finally:
        logger.setLevel(level)


def training_step(arguments: argparse.Namespace) -> None:
    """Both paths for each trainer, precision and number of classes."""
    check(arguments)
    launch = launch_of()
    if launch is not None:
        as_one_of_several(arguments, launch)
        return
    device = own_device(0)
    model = untrained_clip(arguments.backbone).to(device)
    rows: list[Row] = []
    for trainer, precision, classes in itertools.product(arguments.trainers, arguments.precision, arguments.classes):
        steps = RandomSteps(TRAINERS[trainer], model, arguments.backbone, classes, arguments.chunk)
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
    device = own_device(0)
    model = untrained_clip(arguments.backbone).to(device)
    for precision, classes in itertools.product(arguments.precision, arguments.classes):
        steps = RandomSteps(TRAINERS["TopLAMM"], model, arguments.backbone, classes, arguments.chunk)
        rows = compare_ways(steps.ways_to_tune(precision), device, arguments.rounds or 3)
        cells = [[row["way"], f"{row['step_s']:.3f}", f"{row['ratio']:.2f}", f"{row['peak_mb']:.0f}"] for row in rows]
        print(f"\n{arguments.backbone}, {classes} classes, {precision}, {torch.get_num_threads()} threads\n")
        print(tabulate(cells, headers=["way", "s per step", "ratio", "peak MiB"], disable_numparse=True), flush=True)


def tower(arguments: argparse.Namespace) -> None:
    """The image tower in several ways, for each precision."""
    device = own_device(0)
    model = untrained_clip(arguments.backbone).to(device).eval()
    for precision in arguments.precision:
        rows = compare_towers(model, precision, arguments.batch, arguments.rounds or 5, device)
        cells = [
            [row["way"], "not measured", row["problem"]]
            if "problem" in row
            else [row["way"], *(f"{row[name]:.{digits}f}" for name, digits in TOWER.items())]
            for row in rows
        ]
        threads = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
        print(f"\n{arguments.backbone}, {precision}, {arguments.batch} images at once, {threads}\n")
        print(tabulate(cells, headers=["way", "ms per image", *list(TOWER)[1:]], disable_numparse=True), flush=True)


def suite(arguments: argparse.Namespace) -> None:
    """All that is to be known about this machine, within the time."""
    end = time.monotonic() + 60 * arguments.minutes
    check(arguments)
    if arguments.json is not None or arguments.plot is not None or arguments.ranks > 1 or arguments.cached:
        raise ConfigError("--json, --plot, --ranks and --cached are not for --suite, which writes into --output")
    device = own_device(0)
    named = {"backbone": arguments.backbone, "minutes": f"{arguments.minutes:g}"}
    report = Report(arguments.output, device, named)

    @functools.cache
    def model(place: torch.device) -> nn.Module:
        return untrained_clip(arguments.backbone).to(place)

    def steps(trainer: str, place: torch.device, classes: int) -> RandomSteps:
        return RandomSteps(TRAINERS[trainer], model(place), arguments.backbone, classes, arguments.chunk)

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
        raise ConfigError(unknown_name("trainer that learns", unknown[0], list(TRAINERS)))
    for flag in ("json", "plot"):
        file = getattr(arguments, flag)
        if file is not None and not file.resolve().parent.is_dir():
            raise ConfigError(f"{file.parent} is not a folder: --{flag} writes into one that exists")
    if arguments.json is not None:
        require_place(arguments.json, '"text_fast_s": ')
    if arguments.plot is not None:
        require_picture(arguments.plot)


def with_ranks(row: Row, step: TrainingStep, arguments: argparse.Namespace) -> dict[str, float]:
    """The same step with one process and with several; nothing where it was not asked for."""
    if arguments.ranks < 2:
        return {}
    alone = shared_out_seconds(step)
    command = ["-m", __name__, "--trainers", row["trainer"], "--classes", str(row["classes"])]
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
            steps = RandomSteps(TRAINERS[trainer], model, arguments.backbone, classes, arguments.chunk)
            seconds = shared_out_seconds(steps.fast(precision, arguments.cached))
            if launch.rank == 0:
                print(f"{MARK}{seconds!r}", flush=True)


TOWER = {"ms": 1, "ratio": 2, "share": 2, "cosine": 5}  # column → digits
PHOTOS = {(500, 375): 24, (2000, 1500): 8, (4000, 3000): 4}  # sizes, and how many are made by code
JPEG = (".jpg", ".jpeg")
COLUMNS = ["way", "ms", "times faster", "mean difference", "largest", "feature cosine", "lowest"]


def decoding(arguments: argparse.Namespace) -> None:
    """The ways of decoding and transforming photos."""
    limit = arguments.limit or 100
    if arguments.images is not None:
        files = image_files(arguments.images, JPEG, limit)
        for file in files:
            read_image(str(file))  # all of them can be read
        decoding_tables(f"{len(files)} photos of {arguments.images}", files, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        for size, count in PHOTOS.items():
            files = write_photos(Path(folder), size, min(count, limit))
            decoding_tables(f"{len(files)} photos of {size[0]} x {size[1]}, made by code", files, arguments)


def decoding_tables(title: str, files: list[Path], arguments: argparse.Namespace) -> None:
    """Print the table of training images, and that of test images."""
    paths = [str(file) for file in files]
    for is_train in (True, False):
        cfg = pipeline(arguments.size)
        deviations = torch.tensor(cfg.INPUT.PIXEL_STD).view(3, 1, 1) * 255
        rows = side_by_side(ways(cfg, is_train), paths, arguments.rounds or 5, deviations)
        cosines = feature_cosines(paths, is_train)
        cells = []
        for row in rows.itertuples():
            away = ["none", ""] if row.equal else [f"{row.mean_difference:.3f}", f"{row.largest_difference:.0f}"]
            alike = [f"{cosine:.5f}" for cosine in cosines.get(row.Index, ())]
            cells.append([row.Index, f"{row.milliseconds:.2f}", f"{row.ratio:.2f}", *away, *alike])
        steps = "training images: random resized crop, flip" if is_train else "test images: resize, centre crop"
        print(f"\n{title}; {steps}, {arguments.size} pixels\n")
        print(tabulate(cells, headers=COLUMNS, disable_numparse=True), flush=True)


def loading(arguments: argparse.Namespace) -> None:
    """A few-shot epoch's images with each number of worker processes."""
    limit, batch = arguments.limit or 96, arguments.batch
    cfg = pipeline(arguments.size)
    cfg.DATALOADER.NUM_WORKERS = SIZED
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = batch
    with tempfile.TemporaryDirectory() as folder:
        if arguments.images is None:
            files = write_photos(Path(folder), next(iter(PHOTOS)), limit)
        else:
            files = image_files(arguments.images, (*JPEG, ".png"), limit)
        images = [Datum(str(file)) for file in files]
        automatic = worker_count(cfg, images, batch)
        numbers = sorted({1, min(2, usable_cores()), usable_cores(), automatic} - {0})
        loaders = [(0, False), *itertools.product(numbers, (False, True))]
        steps = (0.0, arguments.step / 1000)
        seconds = [pass_seconds(cfg, images, loaders, step, arguments.rounds or 3) for step in steps]
    cells = []
    for workers, keeps in loaders:
        cells.append([str(workers), "yes" if keeps else "no" if workers else ""])
        for times in seconds:
            own = times[workers, keeps]
            cells[-1] += [f"{1000 * own:.0f}", f"{times[loaders[0]] / own:.2f}"]
    with_steps = f"ms with {arguments.step} ms per step"
    headers = ["workers", "kept", "ms per epoch", "times faster", with_steps, "times faster"]
    batches = max(1, len(images) // batch)
    print(f"{len(images)} images, {batches} batches of {min(len(images), batch)}, {usable_cores()} cores\n")
    print(tabulate(cells, headers=headers, disable_numparse=True))
    print(f"\nDATALOADER.NUM_WORKERS -1 takes {automatic}.")


def parser() -> Parser:
    """The command's arguments."""
    parser = Parser(
        description="Compare our training step with the original code's: time, memory, operations. "
        "With --decoding or --loading, compare ways of reading photos instead; with --suite, measure a machine."
    )
    add, count = parser.add_argument, at_least(1)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--decoding", action="store_true", help="compare ways of decoding and transforming photos")
    mode.add_argument("--loading", action="store_true", help="time an epoch's images for several numbers of workers")
    mode.add_argument("--top", action="store_true", help="compare ways of tuning the image tower's last blocks")
    mode.add_argument("--tower", action="store_true", help="compare ways of encoding images with the image tower")
    mode.add_argument(
        "--suite", choices=["gpu"], help="all that is to be known about a GPU (a CPU where there is none)"
    )
    rounds = (
        "runs of the original path, or with --top (3) and --tower (5) of each way, of which the median counts "
        "(default: 1); with --decoding (5) or --loading (3): measurements of each way, of which the best counts"
    )
    add("--rounds", type=count, metavar="N", help=rounds)
    add(
        "--trainers", nargs="+", metavar="TRAINER", help="default: all that learn; of --suite LAMM CoOp_LAMM MaPLe_LAMM"
    )
    add("--classes", nargs="+", type=count, metavar="N", help="numbers (default: 100; of --suite 100 1000)")
    add("--backbone", default="ViT-B/16", help="an OpenAI name, or tiny (default: %(default)s)")
    precisions = ("fp32", "bf16", "amp")
    add("--precision", nargs="+", choices=precisions, help="of our path (default: fp32; of --suite all)")
    add("--cached", action="store_true", help="cache image features on our path (INPUT.CACHE_VIEWS)")
    add("--chunk", type=at_least(0), default=0, metavar="N", help="TRAINER.TEXT_CHUNK of our path (default: 0)")
    most = "measure the original path with at most N classes, and scale its numbers up"
    add("--plain-at-most", type=count, metavar="N", help=most)
    add("--ranks", type=PROCESSES, default=1, metavar="N", help="also time our step shared out over N processes")
    add("--json", type=Path, metavar="FILE", help="also write the rows to this file")
    add("--plot", type=Path, metavar="FILE", help="draw time and memory over the number of classes")
    add = parser.add_argument_group("with --suite").add_argument
    minutes = Range(0.1, 1440, whole=False)
    add("--minutes", type=minutes, default=10.0, metavar="M", help="that it takes at most (default: 10)")
    usual = Path("benchmark-gpu")
    add("--output", type=Path, default=usual, metavar="DIR", help="folder for its files (default: benchmark-gpu)")
    add("--shots", type=count, default=16, metavar="N", help="images per class of the whole training (default: 16)")
    add("--epochs", type=at_least(2), default=50, metavar="N", help="of the whole training (default: 50)")
    add = parser.add_argument_group("with --decoding or --loading").add_argument
    add("--images", type=Path, metavar="FOLDER", help="folder of photos (default: made by code)")
    add("--limit", type=count, metavar="N", help="at most N photos (default: 100, with --loading 96)")
    add("--size", type=count, default=224, metavar="PIXELS", help="side of the result (default: 224)")
    add("--batch", type=count, default=32, metavar="B", help="--loading, --tower: batch size (default: 32)")
    add("--step", type=at_least(0), default=30, metavar="MS", help="--loading: milliseconds per step (default: 30)")
    return parser


if __name__ == "__main__":  # a process of `torchrun`; see `with_ranks`
    run(parser(), main)
