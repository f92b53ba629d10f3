"""The embedded model: what it is trained on, its weights file, its command; no accuracies."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lamm.clip import tiny as architecture
from lamm.clip.architecture import undrawn_weights
from lamm.clip.tiny import load_weights, save_weights
from lamm.clip.tiny import training as corpus
from lamm.clip.tiny.training import contrastive_loss, draw_corpus, draw_pairs
from lamm.clip.tiny_recipe import Recipe
from lamm.datasets.demo import NICKNAMES
from lamm.drawing.compositions import HELD_OUT
from lamm.errors import BackboneError

ROOT = Path(__file__).resolve().parents[2]
LARGEST_FILE = 16 * 2**20


@pytest.fixture(scope="module")
def pairs():
    pytest.importorskip("matplotlib")
    return draw_pairs(3000, seed=7)


def test_the_model_is_the_same_without_weights_that_are_drawn_before():
    with undrawn_weights():
        bare = load_weights()
    for ours, expected in zip(bare.state_dict().values(), load_weights().state_dict().values(), strict=True):
        assert torch.equal(ours, expected)


def test_pictures_and_captions_belong_together(pairs):
    pictures, captions = pairs
    assert pictures.shape == (3000, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert len(captions) == 3000
    assert all(caption == caption.strip() and "{" not in caption for caption in captions)


def test_the_seed_decides_the_pairs(pairs):
    first, captions = draw_pairs(40, seed=7)
    assert np.array_equal(first, pairs[0][:40])
    assert captions == pairs[1][:40]
    assert draw_pairs(40, seed=8)[1] != captions


def test_no_caption_tells_a_held_out_composition_or_a_nickname(pairs):
    for caption in pairs[1]:
        words = set(caption.lower().replace(".", " ").split())
        assert not words & set(NICKNAMES.values())
        assert not any(shape in words and texture in words for shape, texture in HELD_OUT)


def test_no_picture_shows_a_held_out_composition(monkeypatch):
    drawn = set()

    def compose(shape, texture, rng, style):
        drawn.add((shape, texture))
        return original(shape, texture, rng, style)

    original = corpus.compose
    monkeypatch.setattr(corpus, "compose", compose)
    rng = np.random.RandomState(0)
    for _ in range(600):
        corpus.composition_pair(rng)
    assert len(drawn) > 90
    assert not drawn & set(HELD_OUT)


def test_the_corpus_is_the_same_for_any_number_of_workers():
    pytest.importorskip("matplotlib")
    one, two = (draw_corpus(30, seed=3, workers=count) for count in (1, 2))
    assert np.array_equal(one[0], two[0])
    assert one[1] == two[1]


def test_the_contrastive_loss_is_clips_where_all_captions_differ():
    """CLIP's loss written out, arXiv:2103.00020, Figure 3."""
    generator = torch.Generator().manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(4, 8, generator=generator), dim=-1) for _ in range(2))
    logits = 5.0 * image @ text.T
    rows, columns = (
        -sum(torch.log(table[i, i].exp() / table[i].exp().sum()) for i in range(4)) / 4 for table in (logits, logits.T)
    )
    loss = contrastive_loss(image, text, torch.arange(4), torch.tensor(5.0))
    assert loss.item() == pytest.approx(((rows + columns) / 2).item(), abs=1e-6)


def test_the_contrastive_loss_shares_a_caption_among_its_images():
    """Two equal images with one caption between them: both are right, and the caption's mass is halved."""
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = contrastive_loss(image, torch.tensor([[1.0, 0.0]]), torch.tensor([0, 0]), torch.tensor(10.0))
    assert loss.item() == pytest.approx(np.log(2) / 2)


def test_untrained_token_rows_are_those_of_the_documented_generator():
    rows = architecture.untrained_token_rows()
    expected = (np.random.RandomState(231208212).standard_normal((49408, 128)) * 0.02).astype(np.float16)
    assert rows.dtype == torch.float32
    assert np.array_equal(rows.numpy(), expected.astype(np.float32))
    digest = hashlib.sha256(rows.half().numpy().astype("<f2").tobytes()).hexdigest()
    assert digest == CHECKSUM


# Of RandomState(231208212).standard_normal((49408, 128)) * 0.02 as little-endian fp16.
CHECKSUM = "b9d99d22b5af50fe95e3513f1108f9f28bb5993ab6346755d8a99913db03253f"


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    model = architecture.build()
    ids = torch.tensor([0, 7, 49406, 49407])
    model.token_embedding = torch.nn.Embedding(4, 128)
    return model, ids


def test_the_weights_file_gives_the_model_back_in_half_precision(untrained, tmp_path):
    model, ids = untrained
    save_weights(model, ids, tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors")
    assert not loaded.training
    own = {name: value for name, value in model.state_dict().items() if "attn_mask" not in name}
    for name, value in loaded.state_dict().items():
        if name == "token_embedding.weight":
            assert torch.equal(value[ids], own[name].half().float())
            others = torch.ones(len(value), dtype=torch.bool)
            others[ids] = False
            assert torch.equal(value[others], architecture.untrained_token_rows()[others])
        elif name in own:
            assert torch.equal(value, own[name].half().float())


def test_the_weights_file_holds_two_bytes_a_number(untrained, tmp_path):
    model, ids = untrained
    save_weights(model, ids, tmp_path / "w.safetensors")
    numbers = sum(value.numel() for name, value in model.state_dict().items() if name != "attn_mask")
    size = (tmp_path / "w.safetensors").stat().st_size
    assert 2 * numbers < size < 2 * numbers + 20_000
    assert size + 2 * 128 * 2000 < LARGEST_FILE  # with room for the tokens of all captions


def test_the_package_ships_small_weights_that_load():
    from lamm.clip.tiny import PATH

    assert PATH.stat().st_size <= LARGEST_FILE
    assert load_weights().visual.image_size == (32, 32)


@pytest.mark.parametrize("content", [None, b"", b"damaged" * 99])
def test_missing_or_damaged_weights_are_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(BackboneError, match=r"missing at|damaged") as caught:
        load_weights(tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)


def test_the_command_trains_at_toy_size_and_writes_a_file_that_loads(tmp_path):
    pytest.importorskip("matplotlib")
    command = [
        sys.executable,
        str(ROOT / "tools" / "make_demo.py"),
        "clip",
        "--output",
        str(tmp_path / "w.safetensors"),
    ]
    command += ["--device", "cpu", "--workers", "1", "--pairs", "200", "--samples", "64", "--batch-size", "32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "200 pairs" in done.stdout
    assert "step 2 loss" in done.stdout
    assert load_weights(tmp_path / "w.safetensors").logit_scale.exp() <= 100


def test_the_recipe_of_the_command_is_the_default_one():
    assert (Recipe().seed, Recipe().batch_size) == (1, 256)
