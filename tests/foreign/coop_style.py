"""A prompt learner as the CoOp family writes them for Dassl, on a small CLIP-like model of its own."""

import os.path as osp

import torch
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import load_checkpoint, load_pretrained_weights
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

WIDTH, CONTEXT_LENGTH = 16, 8
WORDS = ["<start>", "<end>", ".", "X", "red", "green", "blue"]


def extend_cfg(cfg):
    """The keys that the trainer reads."""
    cfg.TRAINER.TOYCOOP = CfgNode()
    cfg.TRAINER.TOYCOOP.N_CTX = 2
    cfg.TRAINER.TOYCOOP.PREC = "fp32"


def tokenize(text):
    tokens = [0, *(WORDS.index(word) for word in text.split()), 1]
    return torch.tensor(tokens + [0] * (CONTEXT_LENGTH - len(tokens)))


class ToyCLIP(nn.Module):
    """An image tower over mean colours and a causal text tower, both frozen."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.token_embedding = nn.Embedding(len(WORDS), WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, WIDTH * 2, dropout=0.0, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.ln_final = nn.LayerNorm(WIDTH)
        self.visual = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, WIDTH))
        self.logit_scale = nn.Parameter(torch.tensor(3.0))


class TextEncoder(nn.Module):
    def __init__(self, clip_model):
        super().__init__()
        self.transformer, self.ln_final = clip_model.transformer, clip_model.ln_final
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT_LENGTH), persistent=False)

    def forward(self, prompts, tokenized_prompts):
        x = self.ln_final(self.transformer(prompts, mask=self.mask))
        return x[torch.arange(x.shape[0]), tokenized_prompts.eq(1).int().argmax(dim=-1)]


class PromptLearner(nn.Module):
    def __init__(self, cfg, classnames, clip_model):
        super().__init__()
        n_ctx = cfg.TRAINER.TOYCOOP.N_CTX
        self.ctx = nn.Parameter(torch.randn(n_ctx, WIDTH) * 0.02)
        placeholder = " ".join(["X"] * n_ctx)
        self.tokenized_prompts = torch.stack([tokenize(f"{placeholder} {name} .") for name in classnames])
        with torch.no_grad():
            embedding = clip_model.token_embedding(self.tokenized_prompts)
        self.register_buffer("token_prefix", embedding[:, :1])
        self.register_buffer("token_suffix", embedding[:, 1 + n_ctx :])

    def forward(self):
        ctx = self.ctx.unsqueeze(0).expand(self.token_prefix.shape[0], -1, -1)
        return torch.cat([self.token_prefix, ctx, self.token_suffix], dim=1)


class CustomCLIP(nn.Module):
    def __init__(self, cfg, classnames, clip_model):
        super().__init__()
        self.prompt_learner = PromptLearner(cfg, classnames, clip_model)
        self.tokenized_prompts = self.prompt_learner.tokenized_prompts
        self.image_encoder = clip_model.visual
        self.text_encoder = TextEncoder(clip_model)
        self.logit_scale = clip_model.logit_scale

    def forward(self, image):
        image_features = F.normalize(self.image_encoder(image), dim=-1)
        text_features = F.normalize(self.text_encoder(self.prompt_learner(), self.tokenized_prompts), dim=-1)
        return self.logit_scale.exp() * image_features @ text_features.t()


@TRAINER_REGISTRY.register()
class ToyCoOp(TrainerX):
    def check_cfg(self, cfg):
        assert cfg.TRAINER.TOYCOOP.PREC in ["fp32", "amp"]

    def build_model(self):
        cfg = self.cfg
        classnames = self.dm.dataset.classnames
        self.model = CustomCLIP(cfg, classnames, ToyCLIP())
        for name, param in self.model.named_parameters():
            if "prompt_learner" not in name:
                param.requires_grad_(False)
        if cfg.MODEL.INIT_WEIGHTS:
            load_pretrained_weights(self.model.prompt_learner, cfg.MODEL.INIT_WEIGHTS)
        self.model.to(self.device)
        self.optim = build_optimizer(self.model.prompt_learner, cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model("prompt_learner", self.model.prompt_learner, self.optim, self.sched)
        amp = cfg.TRAINER.TOYCOOP.PREC == "amp"
        self.scaler = torch.amp.GradScaler(self.device.type) if amp else None

    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        if self.cfg.TRAINER.TOYCOOP.PREC == "amp":
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                output = self.model(image)
                loss = F.cross_entropy(output, label)
            self.optim.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optim)
            self.scaler.update()
        else:
            output = self.model(image)
            loss = F.cross_entropy(output, label)
            self.model_backward_and_update(loss)
        loss_summary = {"loss": loss.item(), "acc": compute_accuracy(output, label)[0].item()}
        if (self.batch_idx + 1) == self.num_batches:
            self.update_lr()
        return loss_summary

    def parse_batch_train(self, batch):
        return batch["img"].to(self.device), batch["label"].to(self.device)

    def load_model(self, directory, epoch=None):
        if not directory:
            print("Note that load_model() is skipped as no pretrained model is given")
            return
        model_file = "model-best.pth.tar" if epoch is None else "model.pth.tar-" + str(epoch)
        for name in self.get_model_names():
            model_path = osp.join(directory, name, model_file)
            if not osp.exists(model_path):
                raise FileNotFoundError(f'Model not found at "{model_path}"')
            checkpoint = load_checkpoint(model_path)
            state_dict = checkpoint["state_dict"]
            for key in ("token_prefix", "token_suffix"):
                state_dict.pop(key, None)
            print(f'Loading weights to {name} from "{model_path}" (epoch = {checkpoint["epoch"]})')
            self._models[name].load_state_dict(state_dict, strict=False)
