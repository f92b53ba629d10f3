"""The score of an image and a class, from CLIP and prompts: what training, testing and prediction share.

Letters: B images, G prefixes (1, or one an image), N classes, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.checkpoints.label_bank import LabelBank
from lamm.clip.model import ClipModel
from lamm.clip.text import encode_texts
from lamm.clip.vision import VisionPrompts
from lamm.errors import CheckpointError, PromptError
from lamm.prompts import fill_template, tokenize


def scaled_scores(image: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """cos(I, ψ) / τ in fp32.

    Args:
        image: unit features, (B, E).
        text: unit features, (1, N, E) or (B, N, E).
        logit_scale: ln(1/τ).

    Returns:
        (B, N)
    """
    image, text = image.float(), text.float()
    cosines = image @ text[0].T if text.shape[0] == 1 else torch.einsum("be,bne->bn", image, text)
    return logit_scale.float().exp() * cosines


class Prompts(nn.Module):
    """What images are scored against: prompts, what they change of the image tower, and how a score is made.

    A method that scores otherwise than CLIP overrides `scores`; one that changes the image tower `image_features`.

    Args:
        clip: the frozen CLIP model. It is used, but is not part of this module: its weights are in no checkpoint.
        class_names: one per class, in label order.

    Attributes:
        per_image: whether the prompts depend on the image.
        is_calibrated: whether the scores' scale was fitted by leave-one-out, so that they need no temperature.
        earlier: in class-incremental learning, the learners of the sets of classes before this one.
    """

    clip: ClipModel
    per_image = False
    is_calibrated = False
    earlier: Sequence[Any] = ()

    def __init__(self, clip: ClipModel, class_names: Sequence[str]) -> None:
        super().__init__()
        # Put into __dict__, past nn.Module, which would make CLIP's weights part of this module's state.
        self.__dict__["clip"] = clip
        self.class_names = list(class_names)

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features of the prompts, fp32. Shape: (G, N, E)

        Args:
            image: unit image features (B, E); used where the prompts are `per_image`.
        """
        raise NotImplementedError

    def vision_prompts(self) -> VisionPrompts | None:
        """Prompts of the image tower. None: it has none."""
        return None

    @property
    def changes_images(self) -> bool:
        """Whether image features are others than CLIP's own, so that those can't stand in for them."""
        return self.vision_prompts() is not None

    def image_features(self, images: Tensor) -> Tensor:
        """Image features, fp32, of images (B, 3, H, W): of the frozen tower under the vision prompts. Shape: (B, E)"""
        return self.clip.image_features(images, self.vision_prompts())

    def clip_features(self, image: Tensor) -> Tensor:
        """CLIP's own unit features of the same images, (B, E), where `image_features` has them.

        Args:
            image: of `image_features`.
        """
        return image

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """Logits, here cos(I, ψ) / τ. Shape: (B, N)

        Args:
            image: of `image_features`, (B, E).
            text: of `text_features`, (G, N, E).
        """
        return scaled_scores(image, text, self.clip.logit_scale)

    @property
    def learners(self) -> list[Any]:
        """Those of earlier sets of classes, and this one."""
        return [*self.earlier, self]

    def join(self) -> None:
        """Compute the head over the classes of `earlier` learners and of this one, from the statistics of all.

        Each learner gets the part of its own classes; its statistics stay as they are. Without a head, nothing.
        """

    def label_bank(self) -> LabelBank | None:
        """The learned labels, for a file of their own. None: there are none."""
        return None

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """What another program needs beside class features and logit scale: tensors, and the logits as a formula."""
        return {}, "exp(logit_scale) * image_features @ class_features.T"

    # Checkpoints.

    def make_room_for(self, state: dict[str, Any]) -> None:
        """Give what has a row per training image as many rows as it has in a checkpoint; here there is nothing such."""

    def per_class_tensors(self) -> tuple[str, ...]:
        """Names of the learned tensors, other than labels, that have a row for each class."""
        return ()

    def for_other_classes(self, state: dict[str, Tensor], names: Sequence[str]) -> dict[str, Tensor] | None:
        """A state of another class list, made fit for this one; labels are seen to elsewhere.

        Args:
            state: the learned tensors.
            names: of the state's classes.

        Returns:
            The state, here as it is; None: it has tensors that can't serve other classes.
        """
        return None if self.per_class_tensors() else state

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside the learned tensors."""
        return {"class_names": self.class_names, "backbone": self.clip.name}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Check that the tensors belong to this backbone and class list.

        `lamm.checkpoints.by_class_name.load_learned` is the way onto another class list: it goes by class name.

        Raises:
            CheckpointError: they do not.
        """
        if state["class_names"] != self.class_names:
            raise CheckpointError(
                "the checkpoint to resume from was trained on another class list: "
                "resume on its own, or test it on this one with --eval-only --model-dir"
            )
        if state["backbone"] != self.clip.name:
            raise CheckpointError(
                f"the checkpoint was trained with backbone {state['backbone']}, this run uses {self.clip.name}"
            )


class Scoring:
    """What has a CLIP and prompts, and so can score images.

    Attributes:
        clip: the frozen CLIP model.
        learner: the prompts; a `PromptLearner`, or `TemplatePrompts` where nothing is learned.
        temperature: that the logits are divided by before the softmax.
    """

    clip: ClipModel
    learner: Any
    temperature: float = 1.0

    def image_features(self, images: Tensor) -> Tensor:
        """Image features of the learner, fp32; see `Prompts.image_features`. Shape: (B, E)

        Args:
            images: what the learner takes; or (B, E), cached features, which are returned as they are.
        """
        features: Tensor = images if images.ndim == 2 else self.learner.image_features(images)
        return features

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features of the current prompts, fp32; for `image` see `PromptLearner`. Shape: (G, N, E)

        With as many threads as in training, so that who reads a run has its features to the last bit.
        """
        with self.clip.suited_threads():
            features: Tensor = self.learner.text_features(image)
        return features

    @torch.no_grad()
    def scores(self, images: Tensor, text: Tensor | None = None) -> Tensor:
        """Logits. Shape: (B, N)

        Args:
            images: of `image_features`.
            text: unit text features that were encoded before, (G, N, E); None encodes them for these images.
        """
        image = self.image_features(images)
        logits: Tensor = self.learner.scores(image, self.text_features(image) if text is None else text)
        return logits


class TemplatePrompts(Prompts):
    """Hand-written prompts; a class's feature is the mean over the templates.

    Args:
        clip: the frozen CLIP model.
        class_names: one a class, in label order.
        templates: with `{}` for the class name; of several, unit features are averaged.

    Attributes:
        features: unit features of the classes, fp32, (1, N, E).

    Raises:
        PromptError: no template, one without exactly one `{}`, or a prompt longer than the text tower takes.
    """

    features: Tensor

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__(clip, class_names)
        if not templates:
            raise PromptError("no template for the class names is known: the run's classes.json has its templates")
        of_templates = []
        with torch.no_grad(), clip.autocast():
            for template in templates:
                prompts = [fill_template(template, name) for name in class_names]
                features = encode_texts(clip.text, tokenize(clip.tokenizer, prompts, clip.text.context_length))
                of_templates.append(features)
        units = torch.stack([F.normalize(features.float(), dim=-1) for features in of_templates])  # (templates, N, E)
        self.register_buffer("features", F.normalize(units.mean(dim=0), dim=-1)[None], persistent=False)

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features of the prompts. Shape: (1, N, E)"""
        return self.features
