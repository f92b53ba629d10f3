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
from pathlib import Path
from typing import Any

from lamm.commands.parser import Parser, at_least
from lamm.errors import ConfigError
from lamm.log import logger
from lamm.numbers import PROCESSES, Range

# What is measured where an option doesn't say it; all trainers that learn prompts or weights, but for the suite.
USUAL: dict[str, list[Any]] = {"classes": [100], "precision": ["fp32"]}
USUAL_SUITE: dict[str, list[Any]] = {
    "trainers": ["LAMM", "CoOp_LAMM", "MaPLe_LAMM"],
    "classes": [100, 1000],
    "precision": ["fp32", "bf16", "amp"],
}


STEP = "step of training"
ALWAYS_READ = ("rounds", "debug")
RANDOM = ("backbone", "precision", "json")
SIZES = ("trainers", "classes", "chunk", "plain_at_most")
READ = {
    "decoding": ("images", "limit", "size"),
    "loading": ("images", "limit", "size", "batch", "step"),
    "top": (*RANDOM, "classes", "chunk"),
    "tower": (*RANDOM, "batch"),
    "suite": (*SIZES, "backbone", "precision", "minutes", "output", "shots", "epochs"),
    STEP: (*RANDOM, *SIZES, "cached", "ranks", "plot"),
}
"""What is measured → the arguments that it reads; others would be given in vain."""


def main(arguments: argparse.Namespace) -> None:
    mode = next((name for name in READ if getattr(arguments, name, None)), STEP)
    usual = vars(parser().parse_args([]))
    given = [name for name in usual if getattr(arguments, name) != usual[name] and name not in (mode, *ALWAYS_READ)]
    unread = next((name for name in given if name not in READ[mode]), None)
    if unread is not None:
        modes = [f"--{other}" if other != STEP else "a training step" for other in READ if unread in READ[other]]
        here = "a training step" if mode == STEP else f"--{mode}"
        raise ConfigError(f"--{unread.replace('_', '-')} goes with {' or '.join(modes)}, not with {here}")
    for name, values in (USUAL_SUITE if arguments.suite else USUAL).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, values)
    # Imported here, since both take torch, which --help does without.
    from lamm.commands import benchmark_photos, benchmark_steps

    measure = {
        "decoding": benchmark_photos.decoding,
        "loading": benchmark_photos.loading,
        "top": benchmark_steps.top,
        "tower": benchmark_steps.tower,
        "suite": benchmark_steps.suite,
        STEP: benchmark_steps.training_step,
    }[mode]
    level = logger.level
    logger.setLevel("WARNING")  # each learner would say which encoder it has
    try:
        measure(arguments)
    finally:
        logger.setLevel(level)


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
