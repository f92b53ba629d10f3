"""A learner as CoOp-family repositories have it, with the ten lines that add label alignment (marked `# +`).

It knows nothing of our classes: buffers `token_prefix` and `token_suffix`, whole prompts of 77 positions, a text
encoder that reads the feature at the largest token id.
"""

from typing import Any

import open_clip
import torch
from lamm_trainers.label_alignment import LabelAlignment  # +
from torch import Tensor, nn
from torch.nn import functional as F


class TextEncoder(nn.Module):
    def __init__(self, clip_model: Any) -> None:
        super().__init__()
        self.clip = [clip_model]

    def forward(self, prompts: Tensor, tokenized_prompts: Tensor) -> Tensor:
        (clip_model,) = self.clip
        x = clip_model.transformer(prompts + clip_model.positional_embedding, attn_mask=clip_model.attn_mask)
        x = clip_model.ln_final(x)
        return x[torch.arange(len(x)), tokenized_prompts.argmax(dim=-1)] @ clip_model.text_projection


class PromptLearner(nn.Module):
    def __init__(self, ctx_init: str, classnames: list[str], clip_model: Any, position: str, **alignment: Any) -> None:
        super().__init__()
        n_ctx = len(ctx_init.split(" "))
        classnames = [name.replace("_", " ") for name in classnames]
        name_lens = [int(open_clip.tokenize([name]).argmax()) - 1 for name in classnames]
        tokenized_prompts = torch.cat([open_clip.tokenize([f"{ctx_init} {name}."]) for name in classnames])
        with torch.no_grad():
            embedding = clip_model.token_embedding(tokenized_prompts)
        self.ctx = nn.Parameter(embedding[0, 1 : 1 + n_ctx].clone())
        self.register_buffer("token_prefix", embedding[:, :1])
        self.register_buffer("token_suffix", embedding[:, 1 + n_ctx :])
        self.alignment = LabelAlignment(classnames, name_lens, self.token_suffix, **alignment)  # +
        self.name_lens, self.position, self.tokenized_prompts = name_lens, position, tokenized_prompts

    def forward(self) -> Tensor:
        ctx = self.ctx.expand(len(self.name_lens), -1, -1)
        prefix = self.token_prefix
        suffix = self.alignment(self.token_suffix)  # +
        if self.position == "end":
            return torch.cat([prefix, ctx, suffix], dim=1)
        half = {"middle": ctx.shape[1] // 2, "front": 0}[self.position]
        rows = [
            torch.cat([prefix[i], ctx[i, :half], suffix[i, :length], ctx[i, half:], suffix[i, length:]])
            for i, length in enumerate(self.name_lens)
        ]
        return torch.stack(rows)


class CustomCLIP(nn.Module):
    def __init__(
        self, classnames: list[str], clip_model: Any, shots: int = 4, position: str = "end", **alignment: Any
    ) -> None:
        super().__init__()
        self.prompt_learner = PromptLearner("a photo of a", classnames, clip_model, position, **alignment)
        self.tokenized_prompts = self.prompt_learner.tokenized_prompts
        self.text_encoder = TextEncoder(clip_model)
        self.logit_scale = clip_model.logit_scale
        self.shots = shots
        names = [f"a photo of a {name}." for name in self.prompt_learner.alignment.class_names]  # +
        tokens = torch.cat([open_clip.tokenize(name) for name in names])  # +
        with torch.no_grad():  # +
            teacher = self.text_encoder(clip_model.token_embedding(tokens), tokens)  # +
        self.register_buffer("teacher", teacher, persistent=False)  # +

    def forward(self, image_features: Tensor, label: Tensor | None = None) -> Any:
        text_features = self.text_encoder(self.prompt_learner(), self.tokenized_prompts)
        text_features = text_features / text_features.norm(dim=-1, keepdim=True)
        logit_scale = self.logit_scale.exp()
        logits = logit_scale * image_features @ text_features.t()
        if label is None:
            return logits
        alignment = self.prompt_learner.alignment  # +
        features = text_features, self.teacher, image_features  # +
        parts = alignment.loss_parts(*features, logits, label, logit_scale, self.shots)  # +
        return logits, sum(parts.values(), F.cross_entropy(logits, label))  # +
