"""KgCoOp (arXiv:2303.13283): the hand-written prompts that its context is held near. Its loss: test_loss_curves.py."""

import pytest
import torch
from lamm_trainers import extend_cfg
from lamm_trainers.kgcoop import KgCoOpLearner

from lamm.clip.model import ClipModel
from lamm.engine import get_cfg_default
from tests.trainers.learner_cases import batch, kgcoop, loss_parts


@pytest.mark.parametrize(
    ("given", "expected"), [("", "a photo of a {}, a type of pet."), ("a drawing of a {}.", "a drawing of a {}.")]
)
def test_the_template_is_the_data_sets_own_unless_one_is_given(given: str, expected: str) -> None:
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.DATASET.NAME, cfg.DATASET.TEMPLATE = "OxfordPets", given
    assert KgCoOpLearner.arguments(cfg)["template"] == expected


def test_the_hand_written_prompts_are_encoded_once_and_only_to_train(small_clip: ClipModel) -> None:
    learner = kgcoop(small_clip)
    learner.text_features()
    assert "hand_written" not in vars(learner)
    images, labels = batch(small_clip)
    first = loss_parts(learner, images, labels)["loss_kg"]
    hand_written = learner.hand_written
    assert torch.equal(loss_parts(learner, images, labels)["loss_kg"], first)
    assert learner.hand_written is hand_written
    assert not hand_written.requires_grad
