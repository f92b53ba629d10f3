"""Settings with which a run would silently do something else than asked for are refused."""

import pytest
import torch
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.lamm import AlignmentSettings, LAMMLearner

from lamm.errors import CheckpointError, ConfigError, LammError


def aligned(clip, names, label_tokens="name"):
    return LAMMLearner(clip, names, alignment=AlignmentSettings(label_tokens=label_tokens))


def test_resuming_on_another_class_list_of_the_same_shape_is_refused(small_clip):
    trained = aligned(small_clip, ["cat", "dog"]).state_dict()
    with pytest.raises(CheckpointError, match="another class list"):
        aligned(small_clip, ["emu", "cow"]).load_state_dict(trained)


def test_resuming_with_other_label_tokens_of_the_same_shape_is_refused(small_clip):
    trained = aligned(small_clip, ["cat", "dog"], "released").state_dict()
    with pytest.raises(CheckpointError, match="LABEL_TOKENS"):
        aligned(small_clip, ["cat", "dog"], "single").load_state_dict(trained)


def test_more_context_vectors_than_the_tower_has_room_for_are_refused(small_clip):
    with pytest.raises(ConfigError, match="N_CTX is 200, but the text tower has room for at most 73"):
        CoOpLearner(small_clip, ["cat"], n_ctx=200)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (("OPTIM.STAGED_LR", True, "OPTIM.NEW_LAYERS", ("x",)), "STAGED_LR"),
        (("DATALOADER.K_TRANSFORMS", 2), "K_TRANSFORMS"),
        (("INPUT.NO_TRANSFORM", True), "NO_TRANSFORM"),
    ],
)
def test_settings_that_would_train_nothing_or_crash_are_refused(override, message, squares_config):
    from lamm.engine import build_trainer

    with pytest.raises(ConfigError, match=message):
        build_trainer(squares_config("LAMM", "run", *override))


def test_a_loss_that_is_not_a_number_stops_the_run(squares_config):
    from lamm.engine import build_trainer

    trainer = build_trainer(squares_config("LAMM", "run"))
    trainer.epoch, trainer.batch_idx, trainer.num_batches = 0, 0, 1
    with pytest.raises(LammError, match="infinite or not a number in epoch 1"):
        trainer._check_loss(torch.tensor(float("nan")))
