"""Training of the embedded model: CLIP's contrastive loss on pictures drawn by code.

Letters: B images of a batch, U distinct captions of a batch, L positions, D text width, E embedding size.
"""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from lamm.clip.tiny import build, save_weights, untrained_token_rows
from lamm.clip.tiny_recipe import Recipe
from lamm.drawing.compositions import HELD_OUT, SIZE, colour_apart, compose
from lamm.drawing.glyphs import draw_glyph
from lamm.drawing.shapes import OUTLINES, TEXTURES
from lamm.log import logger

IMAGE_SIZE = 32
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEMPLATES = (
    "a photo of a {}.",
    "a photo of a {}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}.",
    "an image of a {}.",
    "a drawing of a {}.",
    "this is a {}.",
    "a {}.",
    "{}",
)
GLYPH_SHARE = 0.42
DIGIT_SHARE = 0.75
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
CHUNK = 2000  # pairs that are drawn with one seed

Picture = NDArray[np.uint8]


def _halved(picture: Picture) -> Picture:
    """64 × 64 to 32 × 32 by the mean of 2 × 2 blocks."""
    blocks = picture.reshape(IMAGE_SIZE, 2, IMAGE_SIZE, 2, 3).astype(np.uint16)
    return (blocks.sum(axis=(1, 3)) // 4).astype(np.uint8)


def composition_pair(rng: np.random.RandomState) -> tuple[Picture, str]:
    """A textured shape that is not held out, and a caption that tells some of what is seen."""
    shapes, textures = list(OUTLINES), list(TEXTURES)
    while True:
        shape, texture = shapes[rng.randint(len(shapes))], textures[rng.randint(len(textures))]
        if (shape, texture) not in HELD_OUT:
            break
    style = str(rng.choice(["plain", "sketch", "noisy"], p=[0.9, 0.05, 0.05]))
    drawn = compose(shape, texture, rng, style)
    words = [shape]
    if rng.rand() < 0.75:
        words.insert(0, texture)
    if drawn.colour and style != "sketch" and rng.rand() < 0.3:
        words.insert(rng.randint(len(words)), drawn.colour)
    if drawn.size and rng.rand() < 0.2:
        words.insert(0, drawn.size)
    phrase = " ".join(words)
    if drawn.ground and style != "sketch" and rng.rand() < 0.08:
        phrase += f" on {drawn.ground}"
    if style == "sketch" and rng.rand() < 0.5:
        return drawn.picture, f"a sketch of a {phrase}."
    return drawn.picture, TEMPLATES[rng.randint(len(TEMPLATES))].format(phrase)


def glyph_pair(rng: np.random.RandomState) -> tuple[Picture, str]:
    """A digit or a letter, and a caption."""
    if rng.rand() < DIGIT_SHARE:
        value = rng.randint(10)
        character, kind, name = str(value), str(rng.choice(["number", "digit"])), DIGITS[value]
    else:
        name = LETTERS[rng.randint(len(LETTERS))]
        character, kind = (name.upper() if rng.rand() < 0.5 else name), "letter"
    ink = draw_glyph(character, rng)[:, :, None]
    colour = ""
    if rng.rand() < 0.6:
        front, back = np.full(3, rng.uniform(200, 255)), np.full(3, rng.uniform(0, 40))
        if rng.rand() < 0.25:
            front, back = back, front
    else:
        colour, front = colour_apart([], rng)
        back = colour_apart([front], rng, least=180.0)[1]
    picture = ink * front + (1 - ink) * back + rng.normal(0, rng.uniform(0, 8), (SIZE, SIZE, 1))
    words = [name]
    if kind == "letter" or rng.rand() < 0.3:
        words.insert(0, kind)
    if colour and rng.rand() < 0.2:
        words.insert(0, colour)
    caption = TEMPLATES[rng.randint(len(TEMPLATES))].format(" ".join(words))
    return np.clip(picture, 0, 255).astype(np.uint8), caption


def draw_pairs(count: int, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    """`count` pictures, (count, 32, 32, 3), and their captions; the same for the same seed."""
    rng = np.random.RandomState(seed)
    pictures = np.empty((count, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    captions = []
    for index in range(count):
        make = glyph_pair if rng.rand() < GLYPH_SHARE else composition_pair
        picture, caption = make(rng)
        pictures[index] = _halved(picture)
        captions.append(caption)
    return pictures, captions


def draw_corpus(count: int, seed: int, workers: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Draw the pairs in chunks with seeds of their own: the same for any number of workers."""
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    seeds = [seed * 1_000_003 + index for index in range(len(sizes))]
    pictures = np.empty((count, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    captions: list[str] = []
    with ProcessPoolExecutor(workers) as pool:
        drawn = tqdm(pool.map(draw_pairs, sizes, seeds), total=len(sizes), desc="drawing", unit="chunk", disable=None)
        for some_pictures, some_captions in drawn:
            pictures[len(captions) : len(captions) + len(some_captions)] = some_pictures
            captions += some_captions
    return pictures, captions


class _Captions:
    """Captions as numbers of distinct captions, and those as rows of compact token numbers."""

    def __init__(self, captions: Sequence[str]) -> None:
        import open_clip

        tokenizer = open_clip.tokenizer.SimpleTokenizer()
        distinct = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
        rows = [[tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in distinct]
        self.number = torch.tensor([distinct[caption] for caption in captions])
        self.seen = torch.tensor(sorted({token for row in rows for token in row} | {0}))
        compact = {int(token): index for index, token in enumerate(self.seen)}
        self.end = torch.tensor([len(row) - 1 for row in rows])
        self.rows = torch.zeros(len(rows), int(self.end.max()) + 1, dtype=torch.long)
        for index, row in enumerate(rows):
            self.rows[index, : len(row)] = torch.tensor([compact[token] for token in row])


def _encode_text(model: Any, tokens: Tensor, end: Tensor) -> Tensor:
    """Features at the end tokens, with the positions after the longest caption cut away. Shape: (U, E)"""
    length = int(end.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    return model.ln_final(x[torch.arange(len(end)), end]) @ model.text_projection


def contrastive_loss(image: Tensor, text: Tensor, caption: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss with distinct captions: a caption's positives are all images that carry it.

    Args:
        image: unit features, (B, E).
        text: unit features of the distinct captions, (U, E).
        caption: the caption of each image, (B,).
        scale: 1/τ.
    """
    logits = scale * image @ text.T
    of_image = F.cross_entropy(logits, caption)
    positives = F.one_hot(caption, len(text)).float()
    of_text = -(positives * F.log_softmax(logits, dim=0)).sum(dim=0) / positives.sum(dim=0)
    return (of_image + of_text.mean()) / 2


def _learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    free = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))


def train(recipe: Recipe, device: torch.device, workers: int, output: Path) -> None:
    """Draw the corpus, train, and write the weights file.

    Args:
        recipe: sizes, rates and the seed.
        device: where to train; matrix products run in bf16 autocast, attention as plain products (17 positions
            are too few for the fused kernel to pay on a CPU).
        workers: processes that draw.
        output: the safetensors file to write.
    """
    torch.manual_seed(recipe.seed)
    pictures, texts = draw_corpus(recipe.pairs, recipe.seed, workers)
    captions = _Captions(texts)
    logger.info("%d pairs, %d distinct captions, %d tokens", len(texts), len(captions.rows), len(captions.seen))

    model: Any = build()
    table = untrained_token_rows()
    model.token_embedding = nn.Embedding.from_pretrained(table[captions.seen], freeze=False)
    model = model.to(device).train()
    optimizer = _optimizer(model, recipe)
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=device).view(1, 3, 1, 1)

    steps = recipe.samples // recipe.batch_size
    order = torch.Generator().manual_seed(recipe.seed)
    picks = torch.empty(0, dtype=torch.long)
    began, shown = time.time(), 0.0
    bar = tqdm(range(steps), desc="training", unit="step", disable=None)
    for step in bar:
        if len(picks) < recipe.batch_size:
            picks = torch.cat([picks, torch.randperm(len(texts), generator=order)])
        batch, picks = picks[: recipe.batch_size], picks[recipe.batch_size :]
        images = torch.from_numpy(pictures[batch.numpy()]).to(device).permute(0, 3, 1, 2).float() / 255
        distinct, caption = captions.number[batch].unique(return_inverse=True)
        tokens, end = captions.rows[distinct].to(device), captions.end[distinct].to(device)
        with sdpa_kernel(SDPBackend.MATH), torch.autocast(device.type, dtype=torch.bfloat16):
            image = model.encode_image((images - mean) / std)
            text = _encode_text(model, tokens, end)
        image, text = F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)
        loss = contrastive_loss(image, text, caption.to(device), model.logit_scale.exp())
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, steps, recipe)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        shown = loss.item() if step == 0 else 0.98 * shown + 0.02 * loss.item()
        if step % 50 == 0 or step == steps - 1:
            bar.set_postfix(loss=f"{shown:.3f}", scale=f"{model.logit_scale.exp().item():.1f}")
        if (step + 1) % 500 == 0 or step == steps - 1:
            save_weights(model, captions.seen, output)
            logger.info("step %d loss %.3f, %.0f s", step + 1, shown, time.time() - began)
