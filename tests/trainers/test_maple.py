"""MaPLe (arXiv:2210.03117), alone and aligned: how many prompts there are, how they start, what is refused."""

from typing import Any

import pytest
import torch
from lamm_trainers.lamm import AlignmentSettings
from lamm_trainers.maple import MaPLeLAMMLearner, MaPLeLearner

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.errors import BackboneError, CheckpointError, ConfigError, PromptError
from tests.clip.small_clip_models import open_clip_model
from tests.reference.whole_prompt import encode_texts
from tests.trainers.learner_cases import NAMES, WORDS, Step, disturb, features, loss_parts, maple, maple_lamm, pictures

Clips = dict[tuple[str, str], ClipModel]
LONG_NAMES = ["german_shepherd", "car (red)"]


@pytest.fixture
def clip(clips: Clips) -> ClipModel:
    """Text width 32, 3 layers; image width 64, 4 layers."""
    return clips["vit", "fp32"]


# The prompts and their start.


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_depth_has_one_prompt_less_to_replace_than_couplings(depth: int, clip: ClipModel) -> None:
    learner = MaPLeLearner(clip, NAMES, n_ctx=2, prompt_depth=depth)
    assert learner.ctx.shape == (2, 32)
    assert [prompt.shape for prompt in learner.compound_prompts_text] == [(2, 32)] * (depth - 1)
    couplings = [learner.proj, *learner.compound_prompt_projections]
    assert len(couplings) == depth
    assert all((coupling.in_features, coupling.out_features) == (32, 64) for coupling in couplings)
    vision = learner.vision_prompts()
    assert vision.first.shape == (2, 64)
    assert [prompt.shape for prompt in vision.deep] == [(2, 64)] * (depth - 1)


def test_the_deep_couplings_start_as_equal_copies_and_move_apart(clip: ClipModel) -> None:
    learner = MaPLeLearner(clip, NAMES, prompt_depth=3)
    first, second = learner.compound_prompt_projections
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    assert not torch.equal(first.weight, learner.proj.weight)
    with torch.no_grad():
        first.weight.add_(1)
    assert not torch.equal(first.weight, second.weight)


def test_every_vision_prompt_is_its_text_prompt_through_its_coupling(clip: ClipModel) -> None:
    learner = disturb(MaPLeLearner(clip, NAMES, prompt_depth=3))
    texts = [learner.ctx, *learner.compound_prompts_text]
    couplings = [learner.proj, *learner.compound_prompt_projections]
    vision = learner.vision_prompts()
    for text, coupling, prompt in zip(texts, couplings, [vision.first, *vision.deep], strict=True):
        torch.testing.assert_close(prompt, text @ coupling.weight.T + coupling.bias)


def test_the_input_context_starts_from_the_first_words(small_model: Any, small_clip: ClipModel) -> None:
    learner = MaPLeLearner(small_clip, NAMES, n_ctx=2, prompt_depth=1)
    photo = small_clip.tokenizer.encode("a photo")
    assert torch.equal(learner.ctx, small_model.token_embedding.weight[photo])
    # So the text side of an input prompt alone is zero-shot CLIP: "of a" stays.
    expected = encode_texts(small_model, [f"{WORDS} {name.replace('_', ' ')}." for name in NAMES])
    torch.testing.assert_close(features(learner)[0], expected, atol=1e-6, rtol=1e-6)


def test_prompts_without_words_start_normal_with_a_deviation_of_a_fiftieth(clip: ClipModel) -> None:
    torch.manual_seed(0)
    learner = MaPLeLearner(clip, NAMES, n_ctx=60, context_init="", prompt_depth=3)
    for prompt in (learner.ctx, *learner.compound_prompts_text):
        assert prompt.std().item() == pytest.approx(0.02, rel=0.06)
        assert prompt.mean().item() == pytest.approx(0, abs=0.002)
    first, second = learner.compound_prompts_text
    assert not torch.equal(first, second)


def test_deep_prompts_start_normal_also_where_the_input_has_words(clip: ClipModel) -> None:
    torch.manual_seed(0)
    words = " ".join(["photo"] * 50)
    learner = MaPLeLearner(clip, ["cat"], n_ctx=50, context_init=words, prompt_depth=2)
    assert learner.compound_prompts_text[0].std().item() == pytest.approx(0.02, rel=0.06)


def test_the_image_features_follow_every_prompt(clip: ClipModel) -> None:
    learner = MaPLeLearner(clip, NAMES, prompt_depth=3)
    images = pictures(clip, 2)
    seen = Step(learner).image_features(images)
    prompts = [learner.ctx, *learner.compound_prompts_text]
    for gradient in torch.autograd.grad(seen[0, 0], prompts):
        assert gradient.abs().sum() > 0
    with torch.no_grad():
        assert not Step(learner).image_features(images).requires_grad


def test_the_image_tower_is_prompted_during_the_call_alone(clip: ClipModel) -> None:
    images = pictures(clip, 2)
    plain = torch.nn.functional.normalize(clip.encode_image(images), dim=-1)
    assert not torch.allclose(Step(maple(clip)).image_features(images), plain, atol=1e-3)
    # The hooks that did it are gone.
    assert torch.equal(torch.nn.functional.normalize(clip.encode_image(images), dim=-1), plain)


# The aligned labels.


def test_a_released_label_is_one_vector_on_the_word_after_the_context(clip: ClipModel) -> None:
    learner = maple_lamm(clip, LONG_NAMES, label_tokens="released")
    embed = clip.text.token_embedding.weight
    encode = clip.tokenizer.encode
    assert learner.label_counts == [1, 1]
    first = [encode("german")[0], encode("car")[0]]
    assert torch.equal(learner.label_embeddings, embed[first])
    side = learner.labels()
    # Start, "a", "photo" are the prefix: the label stands on "of"; "a", the whole name and the full stop remain.
    assert torch.equal(learner.prefix()[0, 1:], learner.ctx)
    for row, end, name, label in zip(side.embeddings, side.end, LONG_NAMES, learner.label_embeddings, strict=True):
        rest = [*encode(f"a {name.replace('_', ' ')}."), clip.tokenizer.end]
        assert torch.equal(row[0], label)
        assert torch.equal(row[1 : end + 1], embed[rest])


def test_released_labels_behind_a_context_of_all_words_stand_on_the_name(clip: ClipModel) -> None:
    settings = AlignmentSettings(label_tokens="released")
    learner = MaPLeLAMMLearner(clip, LONG_NAMES, n_ctx=4, prompt_depth=1, alignment=settings)
    encode = clip.tokenizer.encode
    side = learner.labels()
    rest = [*encode("german shepherd.")[1:], clip.tokenizer.end]
    assert torch.equal(side.embeddings[0, 0], learner.label_embeddings[0])
    assert torch.equal(side.embeddings[0, 1 : side.end[0] + 1], clip.text.token_embedding.weight[rest])


def test_the_clip_teacher_has_no_deep_prompts(small_model: Any, small_clip: ClipModel) -> None:
    learner = disturb(maple_lamm(small_clip))
    expected = encode_texts(small_model, [f"{WORDS} {name.replace('_', ' ')}." for name in NAMES])
    torch.testing.assert_close(learner.teacher_features()[0], expected, atol=1e-6, rtol=1e-5)


def test_the_prompt_teacher_is_the_base_learner_as_it_is_now(clip: ClipModel) -> None:
    learner, base = disturb(maple_lamm(clip, teacher="prompt")), maple(clip)
    state = learner.state_dict()
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            parameter.copy_(state[name])
    torch.testing.assert_close(learner.teacher_features(), base.text_features(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("teacher", ["clip", "prompt"])
def test_both_logits_of_the_logits_loss_move_the_couplings(teacher: str, clip: ClipModel) -> None:
    # The couplings reach the loss through the image feature alone, which both logits share.
    learner = disturb(maple_lamm(clip, teacher=teacher))
    image = Step(learner).image_features(pictures(clip, 3))

    def gradient(of_learned: bool, of_original: bool) -> torch.Tensor:
        scores = [
            20 * (image if moves else image.detach()) @ text[0].T
            for moves, text in ((of_learned, learner.text_features()), (of_original, learner.teacher_features()))
        ]
        s, o = (torch.nn.functional.log_softmax(score / 2, dim=-1) for score in scores)
        kd = -0.05 * 4 * (s.exp() * o).sum(dim=-1).mean()
        return torch.autograd.grad(kd, learner.proj.weight, retain_graph=True)[0]

    parts = loss_parts(learner, pictures(clip, 3), torch.tensor([0, 1, 2]))
    (got,) = torch.autograd.grad(parts["loss_kd"], learner.proj.weight)
    expected = gradient(True, True)
    assert (got - expected).norm() <= 1e-4 * expected.norm()
    for halved in (gradient(True, False), gradient(False, True)):
        assert (got - halved).norm() > 0.05 * expected.norm()


# What is refused.


@pytest.mark.parametrize(("text_layers", "image_layers", "depth"), [(2, 3, 3), (3, 2, 3), (2, 2, 0), (2, 2, -1)])
def test_a_depth_that_a_tower_lacks_is_refused(text_layers: int, image_layers: int, depth: int) -> None:
    vision = {"layers": image_layers, "width": 64, "patch_size": 8, "image_size": 32}
    clip = wrap_clip(open_clip_model(width=32, heads=2, layers=text_layers, vision=vision), "small")
    message = f"PROMPT_DEPTH is {depth}: small has {text_layers} text layers and {image_layers} image layers.* 1 to 2"
    with pytest.raises(ConfigError, match=message):
        MaPLeLearner(clip, NAMES, prompt_depth=depth)


@pytest.mark.parametrize("build", [maple, maple_lamm], ids=["MaPLe", "MaPLe_LAMM"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resnet_is_refused(build: Any, precision: str, clips: Clips) -> None:
    with pytest.raises(BackboneError, match=r"small: its image tower \(ModifiedResNet\) takes no prompts.*ViT-B/16"):
        build(clips["resnet", precision])


def test_more_context_vectors_than_words_are_refused(clip: ClipModel) -> None:
    with pytest.raises(ConfigError, match='N_CTX is 5: it must be from 1 to 4, the sub-tokens of CTX_INIT "a photo of'):
        MaPLeLearner(clip, NAMES, n_ctx=5, prompt_depth=1)


@pytest.mark.parametrize("words", [WORDS, ""])
def test_a_context_of_nothing_is_refused_by_maple(words: str, clip: ClipModel) -> None:
    with pytest.raises(ConfigError, match="N_CTX is 0: (it must be from 1|at least one)"):
        MaPLeLearner(clip, NAMES, n_ctx=0, context_init=words, prompt_depth=1)


def test_random_context_vectors_of_maple_count_against_the_77_positions(clip: ClipModel) -> None:
    names = [" ".join(["dog"] * 60)]
    MaPLeLearner(clip, names, n_ctx=14, context_init="", prompt_depth=1)  # start + 14 + 60 + full stop + end = 77
    with pytest.raises(PromptError, match=r"dog dog.*: shorten the name"):
        MaPLeLearner(clip, names, n_ctx=15, context_init="", prompt_depth=1)


def test_a_checkpoint_of_another_depth_is_refused(clip: ClipModel) -> None:
    state = maple(clip, variant="words_input").state_dict()
    with pytest.raises(CheckpointError, match="file.*PROMPT_DEPTH"):
        load_learned(maple(clip), state, "file")
