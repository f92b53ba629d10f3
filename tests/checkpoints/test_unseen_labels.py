"""What classes get that were not trained on: what the learned labels of like words have in common."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lamm_trainers import extend_cfg
from lamm_trainers.lamm import AlignmentSettings, LAMMLearner
from torch import Tensor

from lamm.checkpoints.by_class_name import load_learned
from lamm.checkpoints.unseen_labels import NOISES, shared_shifts
from lamm.clip.model import ClipModel
from lamm.inference.model import RunFolder
from tests.reference import shared_shifts as reference

TRAINED = ["striped star", "dotted star", "striped ring", "dotted ring"]
NEW = ["dotted star", "striped owl", "crane"]


def random(seed: int, count: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_shifts_are_those_of_predicting_each_class_from_the_others(spread: float) -> None:
    tokens = list("abcadbdcaa")
    counts, shift = [2, 1, 2, 3, 2], dict(zip("abcd", random(1, 4), strict=True))  # the last class has "aa"
    moved = torch.stack([shift[token] for token in tokens]) + spread * random(2, len(tokens))
    got = shared_shifts(moved, tokens, counts, list("dxa"))
    expected, error = reference.shared_shifts(moved.double().numpy(), tokens, counts, list("dxa"), NOISES)
    assert 0 < got.error < 0.95
    assert got.error == pytest.approx(error, rel=1e-9)
    np.testing.assert_allclose(got.shifts.numpy(), expected, atol=1e-6)


def test_words_that_share_nothing_keep_clips_own_labels() -> None:
    got = shared_shifts(random(2, 6), list("abacbc"), [2, 2, 2], list("abz"))
    assert got.error == 1.0
    assert not got.shifts.any()


def trained_on_words(clip: ClipModel, **settings: str) -> LAMMLearner:
    """A learner whose label vectors have moved by what their sub-token says, and a little."""
    learner = LAMMLearner(clip, TRAINED, alignment=AlignmentSettings(**settings))
    with torch.no_grad():
        learner.label_embeddings += learner.initial_embeddings.roll(1, dims=1)
        learner.label_embeddings += 0.01 * torch.randn(learner.label_embeddings.shape)
    return learner


def test_a_new_class_takes_over_what_its_words_have_learned(small_clip: ClipModel) -> None:
    trained = trained_on_words(small_clip)
    learner = LAMMLearner(small_clip, NEW, alignment=AlignmentSettings())
    assert load_learned(learner, trained.state_dict(), "file") == 1
    seen, striped_owl, crane = learner.label_embeddings.split(learner.label_counts)
    assert torch.equal(seen, trained.label_embeddings.split(trained.label_counts)[1])
    own = learner.initial_embeddings.split(learner.label_counts)
    striped = trained.label_counts[0] - len(trained.prompts[0].label) + 1
    moved, expected = (striped_owl - own[1])[:striped], own[1][:striped].roll(1, dims=1)
    assert (moved - expected).norm() < 0.5 * expected.norm()
    assert (crane - own[2]).norm() < (striped_owl - own[1]).norm()


def test_unseen_labels_clip_leaves_new_classes_as_they_are(small_clip: ClipModel) -> None:
    learner = LAMMLearner(small_clip, NEW, alignment=AlignmentSettings(unseen_labels="clip"))
    load_learned(learner, trained_on_words(small_clip).state_dict(), "file")
    first = learner.label_counts[0]
    assert torch.equal(learner.label_embeddings[first:], learner.initial_embeddings[first:])


@pytest.mark.parametrize(("stored", "taken"), [("", "clip"), ("\n  LAMM:\n    UNSEEN_LABELS: shared", "shared")])
def test_an_evaluation_of_before_the_setting_predicts_as_it_did(tmp_path: Path, stored: str, taken: str) -> None:
    (tmp_path / "config.yaml").write_text(f"TRAINER:\n  NAME: LAMM{stored}\nEVALUATION:\n  MODEL_DIR: elsewhere\n")
    run = RunFolder.open(tmp_path, [extend_cfg])
    assert taken == run.cfg.TRAINER.LAMM.UNSEEN_LABELS
