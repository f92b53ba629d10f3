"""Zero-shot CLIP (arXiv:2103.00020): the data set's own template, nothing learned."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.clip.text import encode_texts
from lamm.datasets.templates import ensemble_of, template_of
from lamm.log import logger
from lamm.prompts import fill_template, tokenize

from .base import PromptTrainer


class ZeroshotCLIP(PromptTrainer):
    """Scores images against one prompt a class; config node `TRAINER.ZEROSHOTCLIP`.

    The template is `DATASET.TEMPLATE`, or, if that is empty, the data set's own. With `ENSEMBLE` a class's feature is
    the mean of its unit features over seven of ImageNet's templates and that one.
    """

    config_node = "ZEROSHOTCLIP"
    default_config = "vit_b16"
    tiny_config = "tiny"

    def build_model(self) -> None:
        """Load CLIP and encode the class names."""
        super().build_model()
        dataset = self.dm.dataset
        own = getattr(dataset, "template", "") or template_of(self.cfg.DATASET.NAME)
        templates = [self.cfg.DATASET.TEMPLATE or own]
        if self.cfg.TRAINER.ZEROSHOTCLIP.ENSEMBLE:
            templates = ensemble_of(self.cfg.DATASET.NAME, own, self.cfg.DATASET.TEMPLATE)
        logger.info("Templates: %s", ", ".join(f'"{template}"' for template in templates))
        features = torch.stack([self._encode(template, dataset.classnames) for template in templates])
        self._text = F.normalize(features.mean(dim=0), dim=-1)[None]

    @torch.no_grad()
    def _encode(self, template: str, class_names: Sequence[str]) -> Tensor:
        """Unit text features of one template. Shape: (N, E)"""
        text = self.clip.text
        rows = tokenize(
            self.clip.tokenizer, [fill_template(template, name) for name in class_names], text.context_length
        )
        with self.clip.autocast():
            features = encode_texts(text, rows)
        return F.normalize(features.float(), dim=-1)

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features of the templates' prompts. Shape: (1, N, E)"""
        return self._text
