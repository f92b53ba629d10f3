"""Zero-shot CLIP (arXiv:2103.00020): the data set's own template, nothing learned."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.clip.text import encode_texts
from lamm.datasets.templates import template_of
from lamm.log import logger
from lamm.prompts import fill_template, tokenize

from .base import PromptTrainer


class ZeroshotCLIP(PromptTrainer):
    """Scores images against one prompt a class; config node `TRAINER.ZEROSHOTCLIP`.

    The template is `DATASET.TEMPLATE`, or, if that is empty, the data set's own.
    """

    config_node = "ZEROSHOTCLIP"
    default_config = "vit_b16"
    tiny_config = "tiny"

    def build_model(self) -> None:
        """Load CLIP and encode the class names."""
        super().build_model()
        dataset = self.dm.dataset
        own = getattr(dataset, "template", "") or template_of(self.cfg.DATASET.NAME)
        template = self.cfg.DATASET.TEMPLATE or own
        logger.info('Template: "%s"', template)
        texts = [fill_template(template, name) for name in dataset.classnames]
        text = self.clip.text
        rows = tokenize(self.clip.tokenizer, texts, text.context_length)
        with torch.no_grad(), self.clip.autocast():
            features = encode_texts(text, rows)
        self._text = F.normalize(features.float(), dim=-1)[None]

    def text_features(self) -> Tensor:
        """Unit text features of the template's prompts. Shape: (1, N, E)"""
        return self._text
