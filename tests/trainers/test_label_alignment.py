"""Label alignment as a part of a learner that is not ours, against the same method made of our own classes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lamm_trainers.coop import CoOpLAMMLearner
from lamm_trainers.label_alignment import AlignmentSettings, LabelAlignment
from torch import Tensor
from torch.nn import functional as F

from lamm.clip.model import ClipModel
from lamm.errors import ConfigError
from lamm.scoring import scaled_scores
from tests.trainers.coop_shaped import CustomCLIP

NAMES = ["polar bear", "german_shepherd", "fox"]
SHOTS = 4
DOC = Path(__file__).parents[2] / "docs" / "adding_a_prompt_learner.md"


@pytest.fixture
def image(small_model: Any) -> Tensor:
    return F.normalize(torch.randn(6, 64, generator=torch.Generator().manual_seed(3)), dim=-1)


LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_it_trains_as_coop_lamm_does(small_model: Any, small_clip: ClipModel, image: Tensor, position: str) -> None:
    settings = {"lambda_kd": 0.5, "cos_over": "batch" if position == "end" else "classes"}
    theirs = CustomCLIP(NAMES, small_model, SHOTS, position, **settings)
    arguments = {"context_init": "a photo of a", "position": position}
    ours = CoOpLAMMLearner(small_clip, NAMES, alignment=AlignmentSettings(**settings), **arguments)
    learned = [theirs.prompt_learner.ctx, theirs.prompt_learner.alignment.label_embeddings]
    updates = [torch.optim.SGD(learned, 0.1), torch.optim.SGD(ours.parameters(), 0.1)]
    for _ in range(3):
        _, loss = theirs(image, LABELS)
        text = ours.text_features()
        logits = scaled_scores(image, text, small_clip.logit_scale)
        expected = torch.stack(list(ours.loss_parts(text, image, logits, LABELS, float(SHOTS)).values())).sum()
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
        for update, value in zip(updates, (loss, expected), strict=True):
            update.zero_grad()
            value.backward()
            update.step()
    torch.testing.assert_close(learned[1], ours.label_embeddings, rtol=1e-3, atol=1e-4)
    assert not torch.equal(learned[1], theirs.prompt_learner.alignment.initial_embeddings)


def test_before_training_the_prompts_are_those_without_alignment(small_model: Any) -> None:
    learner = CustomCLIP(NAMES, small_model).prompt_learner
    assert torch.equal(learner.alignment(learner.token_suffix), learner.token_suffix)


def test_without_a_number_of_shots_lambda_1_has_to_be_given(small_model: Any, image: Tensor) -> None:
    with pytest.raises(ConfigError, match="LAMBDA_WC"):
        CustomCLIP(NAMES, small_model, shots=-1)(image, LABELS)
    CustomCLIP(NAMES, small_model, shots=-1, lambda_wc=1.0)(image, LABELS)


def test_every_entry_of_its_state_is_a_tensor(small_model: Any) -> None:
    """Dassl's `load_pretrained_weights` asks each for its size."""
    assert all(
        isinstance(value, Tensor) for value in CustomCLIP(NAMES, small_model).prompt_learner.state_dict().values()
    )


def test_off_leaves_the_cross_entropy(small_model: Any, image: Tensor) -> None:
    logits, loss = CustomCLIP(NAMES, small_model, hierarchical_loss=False)(image, LABELS)
    assert loss == F.cross_entropy(logits, LABELS)


def test_prompts_of_half_precision_stay_so_and_the_vectors_are_fp32() -> None:
    suffix = torch.randn(2, 5, 8).half()
    alignment = LabelAlignment(["a", "b"], [1, 2], suffix)
    assert alignment(suffix).dtype == torch.float16
    assert alignment.label_embeddings.dtype == torch.float32


def test_a_checkpoint_loads_onto_another_class_list_by_name(small_model: Any) -> None:
    trained = CustomCLIP(NAMES, small_model).prompt_learner
    with torch.no_grad():
        trained.alignment.label_embeddings.add_(1.0)
    state = {name: value for name, value in trained.state_dict().items() if "token_" not in name}
    other = CustomCLIP(["fox", "tree", "polar bear"], small_model).prompt_learner
    other.load_state_dict(state, strict=False)
    alignment = other.alignment
    fox, tree, bear = (alignment.label_embeddings - alignment.initial_embeddings).detach().split(alignment.name_lens)
    torch.testing.assert_close(torch.cat([fox, bear]), torch.ones(3, 32))
    assert not tree.any()


@pytest.mark.parametrize(
    ("names", "lengths", "settings", "message"),
    [
        (["a"], [1, 1], {}, "name_lens"),
        (["a", "b"], [1, 5], {}, "name_lens"),
        (["a", "b"], [1, 1], {"label_tokens": "single"}, "LABEL_TOKENS"),
    ],
)
def test_what_does_not_fit_is_refused(names: list[str], lengths: list[int], settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelAlignment(names, lengths, torch.randn(2, 5, 8), **settings)


def test_the_documented_difference_is_what_is_tested_here() -> None:
    section = DOC.read_text(encoding="utf-8").split("## A learner of another repository")[1].split("\n## ")[0]
    documented = section.replace(".type(self.dtype)", "").replace("clip.tokenize", "open_clip.tokenize")
    lines = (Path(__file__).parent / "coop_shaped.py").read_text(encoding="utf-8").splitlines()
    added = [line.removesuffix("# +").strip().replace(", **alignment", "") for line in lines if line.endswith("# +")]
    assert len(added) >= 10
    for line in added:
        assert line in documented
