"""PromptSRC (arXiv:2307.06948): independent prompts, the teacher's templates, the Gaussian mean over epochs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lamm_trainers.promptsrc import PromptSRC, PromptSRCLearner, gaussian_weights, template_features

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.model import ClipModel
from lamm.engine import load_checkpoint, set_random_seed
from lamm.errors import BackboneError, CheckpointError, ConfigError
from tests.reference import slow_promptsrc as reference
from tests.trainers.learner_cases import NAMES, WORDS, Step, coop, disturb, pictures, promptsrc

Clips = dict[tuple[str, str], ClipModel]
Config = Callable[..., Any]


@pytest.fixture
def clip(clips: Clips) -> ClipModel:
    """Text width 32, 3 layers; image width 64, 4 layers."""
    return clips["vit", "fp32"]


# The prompts.


@pytest.mark.parametrize("depth", [1, 3])
def test_each_layer_has_prompts_of_its_own_in_either_tower(depth: int, clip: ClipModel) -> None:
    learner = PromptSRCLearner(clip, NAMES, n_ctx=2, prompt_depth=depth)
    assert [prompt.shape for prompt in (learner.ctx, *learner.text_prompts)] == [(2, 32)] * depth
    vision = learner.vision_prompts()
    assert [prompt.shape for prompt in (vision.first, *vision.deep)] == [(2, 64)] * depth


def test_the_towers_do_not_share_what_they_learn(clip: ClipModel) -> None:
    learner = promptsrc(clip)
    image, text = Step(learner).image_features(pictures(clip, 2)), learner.text_features()
    of_image, of_text = list(learner.image_prompts), [learner.ctx, *learner.text_prompts]
    for output, used, unused in ((image, of_image, of_text), (text, of_text, of_image)):
        found = torch.autograd.grad(output.flatten()[0], [*used, *unused], allow_unused=True)
        assert all(gradient.abs().sum() > 0 for gradient in found[: len(used)])
        assert found[len(used) :] == (None,) * len(unused)


def test_the_context_starts_from_the_words_and_the_rest_normal(clip: ClipModel) -> None:
    torch.manual_seed(0)
    learner = PromptSRCLearner(clip, ["cat"], n_ctx=50, context_init=" ".join(["photo"] * 50), prompt_depth=3)
    assert torch.equal(learner.ctx, clip.text.token_embedding.weight[clip.tokenizer.encode("photo") * 50])
    for prompt in (*learner.text_prompts, *learner.image_prompts):
        assert prompt.std().item() == pytest.approx(0.02, rel=0.06)


def test_a_resnet_and_a_depth_that_a_tower_lacks_are_refused(clips: Clips) -> None:
    with pytest.raises(BackboneError, match="takes no prompts"):
        promptsrc(clips["resnet", "fp32"])
    with pytest.raises(ConfigError, match="PROMPT_DEPTH is 4: small has 3 text layers"):
        PromptSRCLearner(clips["vit", "fp32"], NAMES, prompt_depth=4)


def test_a_checkpoint_of_another_depth_or_method_is_refused(clip: ClipModel) -> None:
    state = PromptSRCLearner(clip, NAMES, n_ctx=2, prompt_depth=1).state_dict()
    with pytest.raises(CheckpointError, match="PROMPT_DEPTH 1.*set TRAINER.PROMPTSRC.PROMPT_DEPTH to 1"):
        load_learned(promptsrc(clip), state, "file")
    with pytest.raises(CheckpointError, match="another method; use --trainer PromptSRC"):
        load_learned(coop(clip), promptsrc(clip).state_dict(), "file")
    with pytest.raises(CheckpointError, match="another method; use --trainer CoOp"):
        load_learned(promptsrc(clip), coop(clip).state_dict(), "file")


# The teacher, and the loss.


def test_the_teacher_has_sixty_templates_with_that_of_the_context_among_them(clip: ClipModel) -> None:
    templates = PromptSRCLearner(clip, NAMES, prompt_depth=1).templates
    assert len(set(templates)) == 60
    assert f"{WORDS} {{}}." in templates
    assert (templates[0], templates[-1]) == ("a bad photo of a {}.", "itap of the {}.")


def test_raw_features_of_the_templates_are_averaged(models: dict[str, Any], clip: ClipModel) -> None:
    templates = ["a photo of a {}.", "itap of the {}.", "{}"]
    expected = reference.template_features(models["vit"], NAMES, templates)
    torch.testing.assert_close(template_features(clip, NAMES, templates), expected, atol=1e-6, rtol=1e-5)


def test_scores_of_classes_learned_before_are_not_in_the_divergence(clip: ClipModel) -> None:
    learner = promptsrc(clip)
    image, frozen = (torch.nn.functional.normalize(torch.randn(3, clip.embed_dim), dim=-1) for _ in range(2))
    logits = torch.randn(3, len(NAMES))
    expected = learner.image_parts(image, frozen, logits)
    with_earlier = learner.image_parts(image, frozen, torch.cat([logits, torch.randn(3, 2)], dim=1))
    assert torch.equal(with_earlier["loss_logits"], expected["loss_logits"])


# The Gaussian mean over epochs.


@pytest.mark.parametrize(("mean", "std"), [(2.0, 0.7), (30.0, 30.0), (5000.0, 0.1)])
def test_the_last_checkpoint_holds_the_gaussian_mean_of_all_epochs(
    mean: float, std: float, squares_config: Config, tmp_path: Path
) -> None:
    epochs = []

    class Recording(PromptSRC):
        def after_epoch(self) -> None:
            epochs.append({name: value.detach().clone() for name, value in self.learner.named_parameters()})
            super().after_epoch()

    gpa = ("TRAINER.PROMPTSRC.GPA_MEAN", mean, "TRAINER.PROMPTSRC.GPA_STD", std)
    set_random_seed(3)
    trainer = Recording(squares_config("PromptSRC", "run", "OPTIM.MAX_EPOCH", 3, *gpa))
    trainer.train()
    # Far from epoch `mean` all weights round to 0 but for that of the nearest epoch.
    expected = epochs[-1] if mean == 5000 else reference.gaussian_mean(epochs, mean, std)
    saved = load_checkpoint(tmp_path / "run" / "prompt_learner" / "model.pth.tar-3")["state_dict"]
    for name, value in trainer.learner.named_parameters():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
        assert torch.equal(saved[name], value)
        assert mean == 5000 or not torch.allclose(value, epochs[-1][name], rtol=1e-4, atol=1e-5)


def test_an_epoch_is_not_chosen_since_the_last_alone_has_the_mean(squares_config: Config) -> None:
    with pytest.raises(ConfigError, match=r"FINAL_MODEL best_val .* PromptSRC"):
        PromptSRC(squares_config("PromptSRC", "run", "TEST.FINAL_MODEL", "best_val")).train()


def test_the_weights_are_a_gaussian_around_the_epoch_that_counts_most() -> None:
    weights = gaussian_weights(20, 15, 1)
    assert sum(weights) == pytest.approx(1)
    assert weights.index(max(weights)) == 14
    assert weights[15] / weights[14] == pytest.approx(2.718281828**-0.5)


def test_a_mean_of_other_tensors_is_refused(clip: ClipModel) -> None:
    learner = disturb(promptsrc(clip))
    learner.add_to_mean(0.5)
    state = learner.state_dict()
    state["_extra_state"]["gaussian_mean"].pop("ctx")
    with pytest.raises(CheckpointError, match="Gaussian mean"):
        promptsrc(clip).load_state_dict(state)
