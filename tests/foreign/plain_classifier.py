"""An image classifier and a data set as others write them for Dassl: nothing here knows this project.

The data set draws its own images: squares in the colour of their class, on a noisy ground.
"""

import os

import numpy as np
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import count_num_param, mkdir_if_missing
from PIL import Image
from torch import nn
from torch.nn import functional as F

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


@DATASET_REGISTRY.register()
class ColouredSquares(DatasetBase):
    dataset_dir = "coloured_squares"

    def __init__(self, cfg):
        root = os.path.abspath(os.path.expanduser(cfg.DATASET.ROOT))
        self.dataset_dir = os.path.join(root, self.dataset_dir)
        mkdir_if_missing(self.dataset_dir)
        train, test = self.draw("train", 8), self.draw("test", 4)
        train = self.generate_fewshot_dataset(train, num_shots=cfg.DATASET.NUM_SHOTS)
        super().__init__(train_x=train, val=test, test=test)

    def draw(self, split, count):
        generator = np.random.default_rng(len(split))
        items = []
        for label, (name, colour) in enumerate(COLOURS.items()):
            for index in range(count):
                path = os.path.join(self.dataset_dir, f"{split}_{name}_{index}.png")
                pixels = generator.integers(0, 60, (16, 16, 3), dtype=np.uint8)
                pixels[4:12, 4:12] = colour
                Image.fromarray(pixels).save(path)
                items.append(Datum(impath=path, label=label, classname=name))
        return items


@TRAINER_REGISTRY.register()
class PlainClassifier(TrainerX):
    def build_model(self):
        self.model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, self.num_classes),
        )
        self.model.to(self.device)
        print(f"# params: {count_num_param(self.model):,}")
        self.optim = build_optimizer(self.model, self.cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
        self.register_model("classifier", self.model, self.optim, self.sched)

    def forward_backward(self, batch):
        images, labels, _ = self.parse_batch_train(batch)
        output = self.model(images)
        loss = F.cross_entropy(output, labels)
        self.model_backward_and_update(loss)
        summary = {"loss": loss.item(), "acc": compute_accuracy(output, labels)[0].item()}
        if (self.batch_idx + 1) == self.num_batches:
            self.update_lr()
        return summary
