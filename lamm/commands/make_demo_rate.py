"""What `lamm make-demo rate` does: choose the learning rate of the `tiny_ep50` configs on validation images."""

import argparse
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import lamm_trainers
import pandas as pd
import torch
import torch.nn.functional as F
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.lamm import LAMMLearner
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm
from yacs.config import CfgNode

from lamm.clip.loading import load_clip
from lamm.clip.model import ClipModel
from lamm.datasets.demo import Digits, Shapes
from lamm.datasets.few_shot import sample_shots
from lamm.datasets.splits import SplitItem, read_split
from lamm.engine import build_lr_scheduler, build_optimizer, build_transform, get_cfg_default, set_random_seed
from lamm.engine.embedded.config_merge import merge_config
from lamm.engine.embedded.decoding import read_image
from lamm.run.plan import trainer_config
from lamm.scoring import scaled_scores

VIEWS = 8
LEARNERS = {"CoOp": CoOpLearner, "LAMM": LAMMLearner}
DATASETS = {"digits": Digits, "shapes": Shapes}


def config(trainer: str, rate: float) -> CfgNode:
    """A trainer's tiny config with another rate."""
    cfg = get_cfg_default()
    lamm_trainers.extend_cfg(cfg)
    merge_config(cfg, [str(trainer_config(trainer, "tiny_ep50"))], ["OPTIM.LR", str(rate)])
    return cfg


@torch.no_grad()
def features(clip: ClipModel, folder: Path, items: Sequence[SplitItem], transform: object) -> tuple[Tensor, Tensor]:
    """Unit features (B, E) and labels (B,) of one view of each image."""
    images = torch.stack([transform(read_image(str(folder / item.path))) for item in items])  # type: ignore[operator]
    encoded = torch.cat([clip.encode_image(part) for part in images.split(256)])
    return F.normalize(encoded, dim=-1), torch.tensor([item.label for item in items])


def batches(views: list[tuple[Tensor, Tensor]], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: every image once, in a random one of its views, in random order; the last short batch is dropped."""
    count = len(views[0][1])
    which = torch.randint(len(views), (count,))
    image = torch.stack([view for view, _ in views])[which, torch.arange(count)]
    for part in torch.randperm(count).split(size):
        if len(part) == size or count < size:
            yield image[part], views[0][1][part]


def accuracy(
    clip: ClipModel, trainer: str, rate: float, names: list[str], views: list[tuple[Tensor, Tensor]],
    validation: tuple[Tensor, Tensor], shots: int,
) -> float:  # fmt: skip
    """Train one learner and score it, in percent."""
    cfg = config(trainer, rate)
    learner = LEARNERS[trainer].from_config(cfg, clip, names)
    optimizer = build_optimizer(learner, cfg.OPTIM)
    scheduler = build_lr_scheduler(optimizer, cfg.OPTIM)
    for _ in range(cfg.OPTIM.MAX_EPOCH):
        for image, label in batches(views, cfg.DATALOADER.TRAIN_X.BATCH_SIZE):
            text = learner.text_features()
            logits = scaled_scores(image, text, clip.logit_scale)
            loss = sum(learner.loss_parts(text, image, logits, label, shots).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    with torch.no_grad():
        scores = scaled_scores(validation[0], learner.text_features(), clip.logit_scale)
    return float((scores.argmax(dim=1) == validation[1]).float().mean()) * 100


def choose_rate(arguments: argparse.Namespace) -> None:
    """Print the table of validation accuracies, and the best rate."""
    clip = load_clip("tiny")
    scores = []
    train_view, plain_view = (build_transform(config("LAMM", 0.01), is_train=train) for train in (True, False))
    runs = list(itertools.product(DATASETS, arguments.shots, arguments.seeds))
    bar = tqdm(total=len(runs) * len(LEARNERS) * len(arguments.rates), desc="validating", unit="run", disable=None)
    for dataset, shots, seed in runs:
        loaded = DATASETS[dataset](root=str(arguments.root))
        split = read_split(Path(loaded.folder) / loaded.split_file)
        folder = Path(loaded.image_folder)
        set_random_seed(seed)
        picks = sample_shots(split.train, shots, random.Random(seed))
        views = [features(clip, folder, picks, train_view) for _ in range(VIEWS)]
        validation = features(clip, folder, split.val, plain_view)
        for trainer, rate in itertools.product(LEARNERS, arguments.rates):
            set_random_seed(seed)
            score = accuracy(clip, trainer, rate, loaded.classnames, views, validation, shots)
            scores.append((dataset, trainer, shots, rate, score))
            bar.update()
    bar.close()
    columns = ["dataset", "trainer", "shots"]
    frame = pd.DataFrame(scores, columns=[*columns, "rate", "accuracy"])
    # Seeds are averaged first, so that every data set, trainer and number of shots counts alike.
    means = frame.groupby([*columns, "rate"], sort=False).accuracy.mean().unstack()[arguments.rates]
    overall = means.mean()
    rows = [[*group, *values] for group, values in zip(means.index, means.to_numpy(), strict=True)]
    rows.append(["mean", "", "", *overall])
    print(tabulate(rows, headers=[*columns, *arguments.rates], tablefmt="github", floatfmt=".1f"))
    print(f"best mean on validation images: {overall.idxmax()}")
