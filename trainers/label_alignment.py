"""Label alignment for prompt learners that are not ours: any `nn.Module` that puts prompts together as CoOp does.

`LabelAlignmentMixin` needs a learner that derives from `PromptLearner`. A learner of another repository has buffers
`token_prefix` (start token) and `token_suffix` (class name, full stop, end token, padding), and joins its context to
them. There, label alignment is a part that changes the suffix and gives the losses; docs/adding_a_prompt_learner.md has
the difference to CoOp's `coop.py`.
"""

import json
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.checkpoints.label_bank import LabelBank, match_by_name
from lamm.errors import ConfigError
from lamm.log import logger
from lamm.reading import json_value
from lamm.scoring import scaled_scores

from .lamm import RANDOM_STD, AlignmentSettings, LabelAlignmentMixin, hierarchical_loss

__all__ = ["AlignmentSettings", "LabelAlignment", "LabelAlignmentMixin"]


class LabelAlignment(nn.Module):
    """The label vectors <M_i> of a CoOp-shaped prompt learner (Eq. 2), and their loss (Eq. 5-9).

    Make it a part of the learner, so that its vectors are trained and saved with the learner's own. A checkpoint loads
    onto another class list too: a class that it knows by name gets its learned vectors, another one keeps CLIP's own.

    Args:
        class_names: one per class.
        name_lens: how many sub-tokens each name has, as such learners count them.
        token_suffix: the embedded prompts from the class name on, (N, L, D); the vectors start from the name's.
        **settings: fields of `AlignmentSettings`. `label_tokens` and `teacher` stay at their defaults: a name's length
            is that in `name_lens`, and the teacher is an argument of `loss_parts`.

    Attributes:
        label_embeddings: the trainable vectors, class after class, fp32, (V, D).
        initial_embeddings: M_i⁰, (V, D).

    Raises:
        ConfigError: lists that do not fit the suffix, or settings that do not apply here.

    Example:
        >>> suffix = torch.randn(2, 6, 8)  # two prompts from the name on, width 8
        >>> alignment = LabelAlignment(["polar bear", "fox"], [2, 1], suffix)
        >>> alignment.label_embeddings.shape, torch.equal(alignment(suffix), suffix)
        (torch.Size([3, 8]), True)
    """

    initial_embeddings: Tensor
    position: Tensor

    def __init__(
        self, class_names: Sequence[str], name_lens: Sequence[int], token_suffix: Tensor, **settings: Any
    ) -> None:
        super().__init__()
        self.settings = AlignmentSettings(**settings)
        if self.settings.label_tokens != "name" or self.settings.teacher != "clip":
            raise ConfigError("LabelAlignment takes LABEL_TOKENS name; its teacher is an argument of loss_parts")
        self.class_names, self.name_lens = list(class_names), list(name_lens)
        count, length = token_suffix.shape[:2]
        if not len(self.class_names) == len(self.name_lens) == count:
            raise ConfigError(
                f"{len(self.class_names)} class_names, {len(self.name_lens)} name_lens and a token_suffix of {count} "
                "classes: all must have one entry per class"
            )
        if not all(0 < own < length for own in self.name_lens):
            raise ConfigError(f"name_lens must be from 1 to {length - 1}, the positions of token_suffix")
        # The places of the names' sub-tokens among all positions of the suffix, class after class.
        positions = [row * length + place for row, own in enumerate(self.name_lens) for place in range(own)]
        self.register_buffer("position", torch.tensor(positions, device=token_suffix.device), persistent=False)
        initial = token_suffix.detach().float().flatten(0, 1)[self.position]  # (V, D)
        self.register_buffer("initial_embeddings", initial, persistent=False)
        self.label_embeddings = nn.Parameter(initial.clone())
        if self.settings.label_init == "random":
            nn.init.normal_(self.label_embeddings, std=RANDOM_STD)

    def forward(self, token_suffix: Tensor) -> Tensor:
        """The suffix with the label vectors in the place of the class names. Shape: (N, L, D), as it came."""
        vectors = self.label_embeddings.to(token_suffix.dtype)
        return token_suffix.flatten(0, 1).index_copy(0, self.position, vectors).view_as(token_suffix)

    def loss_parts(
        self,
        text: Tensor,
        teacher: Tensor,
        image: Tensor,
        logits: Tensor,
        labels: Tensor,
        logit_scale: Tensor | float,
        shots: float,
    ) -> dict[str, Tensor]:
        """What is added to the cross-entropy: the hierarchical loss; nothing under `hierarchical_loss=False`.

        Args:
            text: features of the learned prompts, ψ(z), (N, E), or (B, N, E) where each image has prompts of its own.
            teacher: features of "a photo of a [class name]." by frozen CLIP, ψ(y), (N, E).
            image: image features, (B, E).
            logits: cos(I, ψ(z)) / τ, (B, N).
            labels: (B,).
            logit_scale: 1/τ, as the learner multiplies its cosines with.
            shots: n, training images per class.

        Returns:
            {"loss_wc", "loss_cos", "loss_kd"}, fp32.
        """
        if not self.settings.hierarchical_loss:
            return {}
        original = F.normalize(teacher.float(), dim=-1)
        scale = torch.as_tensor(logit_scale, dtype=torch.float32, device=image.device).log()
        o = scaled_scores(F.normalize(image.float(), dim=-1), original[None], scale)  # (B, N)
        vectors = self.label_embeddings, self.initial_embeddings
        return hierarchical_loss(self.settings, *vectors, text, original.expand_as(text), logits, o, labels, shots)

    # Checkpoints.

    def get_extra_state(self) -> Tensor:
        """Which classes the vectors belong to: JSON as bytes, since Dassl takes every entry of a state for a tensor."""
        text = json.dumps({"class_names": self.class_names, "name_lens": self.name_lens})
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing: `_load_from_state_dict` has read it."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Puts the vectors of a checkpoint in the order of this class list."""
        extra, vectors = (state_dict.get(prefix + name) for name in ("_extra_state", "label_embeddings"))
        if extra is not None and vectors is not None and not torch.equal(extra.cpu(), self.get_extra_state()):
            saved = json_value(bytes(extra.tolist()))
            bank = LabelBank(saved["class_names"], saved["name_lens"], vectors, "")
            matched = match_by_name(bank, self.class_names, self.name_lens)
            own = self.initial_embeddings.split(self.name_lens)
            rows = [matched.get(place, initial).to(initial) for place, initial in enumerate(own)]
            state_dict = {**state_dict, prefix + "label_embeddings": torch.cat(rows)}
            logger.info(
                "Labels matched by class name: %d learned, %d start from CLIP's own",
                len(matched),
                len(own) - len(matched),
            )
        super()._load_from_state_dict(state_dict, prefix, *arguments)
