"""One training step of a prompt learner on random images, as a trainer takes it (amp's loss scaling left out).

Letters: B images, E embedding size.
"""

import copy
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from lamm.benchmark.measure import seconds_of
from lamm.clip.text import Chunks
from lamm.clip.tokenizer import Tokenizer
from lamm.errors import LammError
from lamm.features.cache import CutViews
from lamm.parallel.ranks import Ranks
from lamm.parallel.sharing import average_gradients, encoded_share, gather_shares

SHOTS = 16.0
FIRST_WORD = 1000  # smaller token ids are single characters and pieces of words
RUNS = 7  # of a step that several processes share out
MARK = "seconds per step: "
STAGES = ("image", "forward", "backward", "optimizer")


class TrainingStep:
    """A learner with a batch, an optimizer and a precision.

    Args:
        learner: a prompt learner on its device.
        optimizer: of the learner's parameters.
        batch: B.
        precision: what the towers run in while the step is taken.
        teacher_each_step: encode the teacher anew at every step, as the original code does.
        cached: what `INPUT.CACHE_VIEWS` stores is given: image features, or tokens at the cut of a tuned tower; not for
            learners with vision prompts.
        ranks: the processes that share the step out; each is to have such a step.
    """

    def __init__(
        self,
        learner: Any,
        optimizer: Optimizer,
        batch: int,
        precision: str,
        teacher_each_step: bool = False,
        cached: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        self.learner, self.optimizer, self.precision = learner, optimizer, precision
        self.teacher_each_step, self.cached = teacher_each_step, cached
        self.ranks = ranks or Ranks()
        clip = learner.clip
        generator, self.device = torch.Generator().manual_seed(0), clip.logit_scale.device
        size = clip.image_size
        self.images = torch.randn(batch, 3, size, size, generator=generator).to(self.device)
        wide = clip.embed_dim
        if learner.changes_images:  # a tuned tower has two features per image
            with torch.no_grad():
                wide = learner.image_features(self.images[:1]).shape[1]
        self.image = F.normalize(torch.randn(batch, wide, generator=generator), dim=-1).to(self.device)
        self.views = None
        if cached and learner.changes_images:
            tokens = learner.top.cut(self.images)
            with torch.no_grad():
                self.views = CutViews(tokens.half(), learner.frozen_top(tokens))
        self.labels = (torch.arange(batch) % len(learner.class_names)).to(self.device)

    def text_side(self) -> None:
        """Student, teacher, loss and backward, given the image features."""
        self.forward(self.image).backward()

    def whole(self) -> None:
        """The image tower, if features are not cached, the text side, and the optimizer's step."""
        self.forward(self.image_features()).backward()
        self.update()

    def in_stages(self) -> dict[str, float]:
        """Seconds of each of `STAGES` in one step; `forward` is that of student, teacher and loss."""
        seconds: dict[str, float] = {}

        def timed(stage: str, call: Callable[..., Any], *arguments: Any) -> Any:
            results: list[Any] = []
            seconds[stage] = seconds_of(lambda: results.append(call(*arguments)), self.device)
            return results[0]

        image = timed("image", self.image_features)
        loss = timed("forward", self.forward, image)
        timed("backward", loss.backward)
        timed("optimizer", self.update)
        return seconds

    def image_features(self) -> Tensor:
        """Unit image features of the batch. Shape: (B, E)"""
        self.learner.clip.precision = self.precision
        if self.views is not None:
            return self.learner.image_features(self.views)
        if self.cached:
            return self.image
        share = encoded_share(self.ranks, len(self.images))
        images = self.images[share.start : share.stop]
        own = self.learner.image_features(images)
        return gather_shares(own, len(self.images), self.ranks)

    def forward(self, image: Tensor) -> Tensor:
        """The loss, given image features (B, E)."""
        self.learner.clip.precision = self.precision
        if self.teacher_each_step:
            self._forget_teacher()
        self.optimizer.zero_grad()
        text = self.learner.text_features(image)
        logits = self.learner.scores(image, text)
        parts = self.learner.loss_parts(text, image, logits, self.labels, SHOTS)
        return torch.stack(list(parts.values())).sum()

    def update(self) -> None:
        """The optimizer's step, with the gradients of all processes."""
        average_gradients(self.learner.parameters(), self.ranks)
        self.optimizer.step()

    def gradient(self, precision: str) -> Tensor:
        """The text side's gradient at a precision, all parameters in one vector of float64."""
        before, self.precision = self.precision, precision
        self._forget_teacher()
        self.text_side()
        self._forget_teacher()
        self.precision = before
        gradients = [parameter.grad for parameter in self.learner.parameters() if parameter.grad is not None]
        return torch.cat([gradient.flatten().double() for gradient in gradients])

    def _forget_teacher(self) -> None:
        if hasattr(self.learner, "forget_teacher"):
            self.learner.forget_teacher()


class WholeTowerStep(TrainingStep):
    """The step of a learner with a tuned top, its image side written without a cut: a copy of the whole tower, some or
    all of whose blocks are trained, beside the frozen tower.

    Args:
        learner: of `TopLAMM`; its own top is left out.
        blocks: trained blocks, the last ones.
        rate: of plain SGD.
        batch, precision: as of `TrainingStep`.
    """

    def __init__(self, learner: Any, blocks: int, rate: float, batch: int, precision: str) -> None:
        tower: Any = copy.deepcopy(learner.clip.visual)
        tower.requires_grad_(False)
        for part in (*tower.transformer.resblocks[-blocks:], tower.ln_post):
            part.requires_grad_(True)
        tower.proj.requires_grad_(True)
        values = [learner.label_embeddings, *(value for value in tower.parameters() if value.requires_grad)]
        super().__init__(learner, torch.optim.SGD(values, lr=rate, momentum=0.9), batch, precision)
        self.tower = tower

    def image_features(self) -> Tensor:
        """f and f0, side by side. Shape: (B, 2 · E)"""
        clip = self.learner.clip
        clip.precision = self.precision
        with clip.autocast():
            tuned = self.tower(self.images)
        return torch.cat([F.normalize(tuned.float(), dim=-1), clip.image_features(self.images)], dim=1)


class OriginalEncoder:
    """Encodes as the original code does, with open_clip's own transformer on [N, 77].

    Prompts of several images are encoded one image after another. Deep prompts go through the transformer's blocks one
    by one. It takes the place of a learner's fast encoder.

    Args:
        model: an open_clip `CLIP`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.chunks = Chunks()

    def encode(
        self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = (), packing: Any = None
    ) -> Tensor:
        """Text features, not normalised; arguments and result as `PlainTextEncoder.encode`. Shape: (G, N, E)"""
        return torch.stack([self._encode_one(own, labels, end, deep) for own in prefix])

    def _encode_one(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor]) -> Tensor:
        model, classes = self.model, len(labels)
        prompts = torch.cat([prefix.expand(classes, -1, -1), labels], dim=1)
        padding = len(model.positional_embedding) - prompts.shape[1]
        x = F.pad(prompts, (0, 0, 0, padding)) + model.positional_embedding
        x = self._transform(x, deep) if deep else model.transformer(x, attn_mask=model.attn_mask)
        x = model.ln_final(x)
        return x[torch.arange(classes, device=x.device), len(prefix) + end] @ model.text_projection

    def _transform(self, x: Tensor, deep: Sequence[Tensor]) -> Tensor:
        for number, block in enumerate(self.model.transformer.resblocks):
            if 0 < number <= len(deep):
                context = deep[number - 1].expand(len(x), -1, -1)
                x = torch.cat([x[:, :1], context, x[:, 1 + context.shape[1] :]], dim=1)
            x = block(x, attn_mask=self.model.attn_mask)
        return x


def class_names(tokenizer: Tokenizer, count: int) -> list[str]:
    """`count` names of 1, 2 and 3 sub-tokens in turn, made of words of one sub-token each.

    Args:
        tokenizer: CLIP's.
        count: how many; beyond the vocabulary words come again.
    """
    single = []
    for token in range(FIRST_WORD, min(tokenizer.start, FIRST_WORD + 12 * count)):
        word = tokenizer.decode([token])
        if word.isascii() and word.isalpha() and tokenizer.encode(word) == [token]:
            single.append(word)
    words = cycle(single)
    return [" ".join(islice(words, 1 + number % 3)) for number in range(count)]


def shared_out_seconds(step: TrainingStep) -> float:
    """Median seconds of the step; every process must call it."""
    step.whole()
    step.whole()
    seconds = []
    for _ in range(RUNS):
        step.ranks.barrier()
        seconds.append(seconds_of(step.whole, step.device))
    return statistics.median(seconds)


def seconds_with_ranks(command: Sequence[str], processes: int, threads: int) -> float:
    """Seconds that the first of several processes of a Python program prints, behind `MARK`.

    Args:
        command: `-m`, the module, and its arguments.
        processes: how many.
        threads: of all processes together.

    Raises:
        LammError: a process failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, threads // processes))}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True, check=False)
    printed = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not printed:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        said = next((line for line in lines if line.startswith("error: ")), lines[-1])
        raise LammError(f"the measurement with {processes} processes failed: {said.removeprefix('error: ')}")
    return float(printed[-1].removeprefix(MARK))


def own_device(local_rank: int) -> torch.device:
    """The GPU of a process on this machine, else the CPU."""
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
