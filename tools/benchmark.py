"""Time and memory of a training step on our path and on the original code's, measured side by side in one run.

    python tools/benchmark.py --trainers LAMM CoOp --classes 100 --backbone ViT-B/16 --precision fp32 --json rows.json

Weights are random, so none are needed. The plain path is the original code's: open_clip's own transformer on [N, 77] in
fp32, the teacher encoded at each step, with gradient where the original has it. The text side of a step is student,
teacher, loss and backward, given image features; the step adds the image tower and the optimizer. A third of the class
names each has 1, 2 and 3 sub-tokens.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lamm_trainers
import torch
from tabulate import tabulate
from torch import nn
from yacs.config import CfgNode

from lamm.benchmark.class_names import class_names
from lamm.benchmark.comparison import Row, compare
from lamm.benchmark.original_encoder import OriginalEncoder
from lamm.benchmark.training_step import TrainingStep
from lamm.clip.loading import wrap_clip
from lamm.clip.untrained import TINY, untrained_clip
from lamm.commands import Parser, run
from lamm.engine import build_optimizer, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.errors import ConfigError
from lamm.files import atomic_path
from lamm.log import logger
from lamm.run.config_files import trainer_config
from lamm.run.whole_number import at_least
from lamm.suggest import unknown_name

NOISE = 0.01  # on the learned vectors: a few steps from the start, every part of the loss has a gradient
SMALLEST_BATCH = 4  # the configs' batches, but for CoCoOp's, which is 1
TRAINERS = {trainer.__name__: trainer for trainer in lamm_trainers.TRAINERS if trainer.learner_class is not None}
COLUMNS = {
    "trainer": "trainer",
    "text_fast_s": "text fast s",
    "text_plain_s": "plain s",
    "text_ratio": "ratio",
    "step_fast_s": "step fast s",
    "step_plain_s": "plain s",
    "step_ratio": "ratio",
    "peak_fast_mb": "peak fast MB",
    "peak_plain_mb": "plain MB",
    "peak_ratio": "ratio",
    "fast_gflops": "fast GFLOP/s",
    "plain_gflops": "plain GFLOP/s",
    "gradient_cosine": "cosine to fp32",
}


def main(arguments: argparse.Namespace) -> None:
    unknown = [name for name in arguments.trainers if name not in TRAINERS]
    if unknown:
        raise ConfigError(unknown_name("trainer that learns", unknown[0], list(TRAINERS)))
    if arguments.json is not None and not arguments.json.resolve().parent.is_dir():
        raise ConfigError(f"{arguments.json.parent} is no folder: --json writes into one that is there")
    logger.setLevel("WARNING")  # each learner would say which encoder it has
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = untrained_clip(arguments.backbone).to(device)
    rows = []
    for trainer in arguments.trainers:
        rows.append(measure(trainer, model, arguments, device))
        print(f"{trainer}: text side {rows[-1].text_ratio:.1f} x, step {rows[-1].step_ratio:.1f} x", flush=True)
    threads = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    print(f"\n{arguments.backbone}, {arguments.classes} classes, {arguments.precision} against fp32, {threads}\n")
    print(table(rows))
    if arguments.json is not None:
        with atomic_path(arguments.json) as temporary:
            temporary.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def measure(trainer: str, model: nn.Module, arguments: argparse.Namespace, device: torch.device) -> Row:
    """One trainer's row."""
    names = class_names(wrap_clip(model, arguments.backbone).tokenizer, arguments.classes)
    fast_cfg = config_of(trainer, arguments.backbone, "TRAINER.TEXT_CHUNK", arguments.chunk)
    plain_cfg = config_of(trainer, arguments.backbone, "TRAINER.LAMM.TEACHER", "prompt")

    def plain_with(count: int) -> TrainingStep:
        learner = learner_of(trainer, plain_cfg, model, names[:count])
        learner.encode_with(OriginalEncoder(model))
        return step_of(learner, plain_cfg, "fp32", teacher_each_step=True)

    fast = step_of(learner_of(trainer, fast_cfg, model, names), fast_cfg, arguments.precision)
    return compare(trainer, arguments.classes, fast, plain_with, device, arguments.rounds)


def config_of(trainer: str, backbone: str, *override: Any) -> CfgNode:
    """A trainer's own config for the backbone, with one key set."""
    cfg = get_cfg_default()
    lamm_trainers.extend_cfg(cfg)
    known = TRAINERS[trainer]
    file = trainer_config(trainer, known.tiny_config if backbone == TINY else known.default_config)
    merge_config(cfg, [str(file)], [str(word) for word in override])
    return cfg


def learner_of(trainer: str, cfg: CfgNode, model: nn.Module, names: list[str]) -> Any:
    """A learner a few steps from its start, the same at every call."""
    torch.manual_seed(0)
    clip = wrap_clip(model, "random weights")
    learner: Any = TRAINERS[trainer].learner_class
    learner = learner.from_config(cfg, clip, names).to(clip.logit_scale.device)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(NOISE * torch.randn(parameter.shape).to(parameter))
    return learner


def step_of(learner: Any, cfg: CfgNode, precision: str, teacher_each_step: bool = False) -> TrainingStep:
    """Its training step."""
    batch = max(SMALLEST_BATCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE)
    return TrainingStep(learner, build_optimizer(learner, cfg.OPTIM), batch, precision, teacher_each_step)


def table(rows: list[Row]) -> str:
    """The rows to read, with a note on what was scaled up."""
    cells = [[readable(getattr(row, name)) for name in COLUMNS] for row in rows]
    notes = [
        f"{row.trainer}: the plain path ran with {row.plain_classes} of {row.classes} classes, as many as fit into "
        "memory, and is scaled up"
        for row in rows
        if row.plain_classes < row.classes
    ]
    return "\n".join([tabulate(cells, headers=list(COLUMNS.values()), disable_numparse=True), *notes])


def readable(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def parser() -> Parser:
    made = Parser(description="our training step beside the original code's: time, memory, operations")
    made.add_argument("--trainers", nargs="+", default=list(TRAINERS), metavar="TRAINER", help="default: all")
    made.add_argument("--classes", type=at_least(1), default=100, help="number of classes (default: 100)")
    made.add_argument("--backbone", default="ViT-B/16", help="an OpenAI name, or tiny (default: ViT-B/16)")
    made.add_argument("--precision", choices=("fp32", "bf16", "amp"), default="fp32", help="of our path")
    made.add_argument("--chunk", type=at_least(0), default=0, help="TRAINER.TEXT_CHUNK of our path (default: 0)")
    made.add_argument("--rounds", type=at_least(1), default=1, help="runs of the plain path (default: 1)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the rows here as well")
    return made


if __name__ == "__main__":
    run(parser(), main)
