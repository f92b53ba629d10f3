"""Zero-shot CLIP (arXiv:2103.00020): the data set's own template, nothing learned."""

from collections.abc import Sequence

from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.datasets import ensemble_of, template_of
from lamm.log import logger
from lamm.scoring import TemplatePrompts

from .base import PromptTrainer
from .traits import TRAITS


class ZeroshotCLIP(PromptTrainer):
    """Scores images against one prompt a class; config node `TRAINER.ZEROSHOTCLIP`.

    The template is `DATASET.TEMPLATE`, or, if that is empty, the data set's own. With `ENSEMBLE` a class's feature is
    the mean of its unit features over seven of ImageNet's templates and that one.
    """

    traits = TRAITS["ZeroshotCLIP"]

    def build_model(self) -> None:
        """Choose the templates, load CLIP and encode the class names."""
        own = getattr(self.dm.dataset, "template", "") or template_of(self.cfg.DATASET.NAME)
        self.templates = [self.cfg.DATASET.TEMPLATE or own]
        if self.cfg.TRAINER.ZEROSHOTCLIP.ENSEMBLE:
            self.templates = ensemble_of(self.cfg.DATASET.NAME, own, self.cfg.DATASET.TEMPLATE)
        logger.info("Templates: %s", ", ".join(f'"{template}"' for template in self.templates))
        super().build_model()

    @classmethod
    def make_learner(
        cls, cfg: CfgNode, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str] = ()
    ) -> TemplatePrompts:
        """The templates' prompts; a run's folder keeps what its templates were."""
        return TemplatePrompts(clip, class_names, templates)
