"""A resumed run is the uninterrupted one, bit for bit; old forms of checkpoints resume too."""

import pickle

import pytest
import torch

from lamm.engine.embedded.checkpoint import load_checkpoint
from tests.engine.toy_run import toy_config, toy_trainer


def interrupted(folder, epochs_done, **optim):
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(toy_config(folder, **optim), stop_after=epochs_done).train()


def finish(folder, **optim):
    trainer = toy_trainer(toy_config(folder, **optim), seed=99)
    trainer.train()
    return trainer


def weights_of(folder, name="model.pth.tar-6"):
    return load_checkpoint(folder / "toy" / name)


def assert_same(a, b):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_same(left, right)
    else:
        assert a == b


@pytest.mark.parametrize(
    ("done", "optim"),
    [(1, {}), (2, {"WARMUP_TYPE": "linear", "NAME": "adam", "LR": 0.01}), (4, {}), (2, {"WARMUP_EPOCH": -1})],
)
def test_a_resumed_run_ends_in_the_same_file_as_an_uninterrupted_one(tmp_path, done, optim):
    toy_trainer(toy_config(tmp_path / "whole", **optim)).train()
    interrupted(tmp_path / "parts", done, **optim)
    trainer = finish(tmp_path / "parts", **optim)
    assert len(trainer.rates) == 6 - done
    assert_same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))


def test_the_rates_after_a_resume_are_those_that_stay_frozen_upstream(tmp_path):
    settings = {"LR": 0.002, "WARMUP_EPOCH": 1}
    interrupted(tmp_path, 2, **settings)
    # MAX_EPOCH 6, LR .002, warm-up 1, resumed after 2 epochs.
    assert finish(tmp_path, **settings).rates == pytest.approx([0.001866, 0.0015, 0.001, 0.0005], abs=5e-7)


def test_the_best_result_survives_a_resume(tmp_path):
    def best_of(folder):
        cfg = toy_config(folder)
        cfg.TEST.FINAL_MODEL = "best_val"
        return cfg

    whole = toy_trainer(best_of(tmp_path / "whole"))
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(best_of(tmp_path / "parts"), stop_after=3).train()
    resumed = toy_trainer(best_of(tmp_path / "parts"), seed=99)
    resumed.train()
    assert resumed.best_result == whole.best_result
    for name in ("model-best.pth.tar", "model.pth.tar-6"):
        assert_same(weights_of(tmp_path / "whole", name), weights_of(tmp_path / "parts", name))


def test_a_resume_prints_the_lines_of_dassl(tmp_path, capsys):
    interrupted(tmp_path, 2)
    capsys.readouterr()
    finish(tmp_path)
    assert capsys.readouterr().out.startswith(
        f"Found checkpoint at {tmp_path} (will resume training)\n"
        f'Loading checkpoint from "{tmp_path}/toy/model.pth.tar-2"\n'
        "Loaded model weights\nLoaded optimizer\nLoaded scheduler\nPrevious epoch: 2\n"
        "epoch [3/6] batch [1/5] "
    )


def test_a_finished_run_is_only_tested_again(tmp_path, capsys):
    toy_trainer(toy_config(tmp_path)).train()
    capsys.readouterr()
    trainer = finish(tmp_path)
    assert trainer.rates == []
    assert trainer.epoch == 0
    assert "Finish training\nDeploy the last-epoch model\nEvaluate on the *test* set\n" in capsys.readouterr().out


def test_a_folder_without_pointer_is_a_missing_file(tmp_path):
    (tmp_path / "toy").mkdir()
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        toy_trainer(toy_config(tmp_path)).train()


def test_another_folder_can_be_resumed_into_this_one(tmp_path):
    interrupted(tmp_path / "old", 4)
    cfg = toy_config(tmp_path / "new")
    cfg.RESUME = str(tmp_path / "old")
    trainer = toy_trainer(cfg)
    trainer.train()
    assert len(trainer.rates) == 2
    assert (tmp_path / "new" / "toy" / "model.pth.tar-6").exists()


def without_the_extras(state):
    return {key: state[key] for key in ("state_dict", "epoch", "optimizer", "scheduler", "val_result")}


def test_a_checkpoint_with_the_keys_of_dassl_only_resumes_with_the_same_rates(tmp_path):
    whole = toy_trainer(toy_config(tmp_path / "whole"))
    whole.train()
    interrupted(tmp_path / "parts", 3)
    path = tmp_path / "parts" / "toy" / "model.pth.tar-3"
    torch.save(without_the_extras(load_checkpoint(path)), path)
    assert finish(tmp_path / "parts").rates == whole.rates[3:]


@pytest.mark.parametrize("done", [1, 4])
def test_a_checkpoint_with_a_pickled_successor_resumes_with_the_same_rates(tmp_path, done):
    whole = toy_trainer(toy_config(tmp_path / "whole"))
    whole.train()
    writer = toy_trainer(toy_config(tmp_path / "parts"), stop_after=done)
    with pytest.raises(KeyboardInterrupt):
        writer.train()
    path = tmp_path / "parts" / "toy" / f"model.pth.tar-{done}"
    state = without_the_extras(load_checkpoint(path))
    # As Dassl saves it: the successor and the optimiser inside it are pickled objects.
    state["scheduler"] = {key: value for key, value in vars(writer.sched).items() if key != "optimizer"}
    state["optimizer"] = writer.optim.state_dict()
    torch.save(state, path)
    with pytest.raises(pickle.UnpicklingError, match=r"[Ww]eights.only"):
        torch.load(path, weights_only=True)
    resumed = finish(tmp_path / "parts")
    assert resumed.rates == whole.rates[done:]
    assert resumed.sched.successor.optimizer is resumed.optim


def test_a_grad_scaler_continues_from_its_state(tmp_path):
    class Scaler:
        scale = 1.0

        def state_dict(self):
            return {"scale": self.scale}

        def load_state_dict(self, state):
            self.scale = state["scale"]

    writer, reader = (toy_trainer(toy_config(tmp_path)) for _ in range(2))
    writer.scaler, reader.scaler = Scaler(), Scaler()
    writer.scaler.scale = 1024.0
    writer.save_model(0, str(tmp_path))
    assert reader.resume_model_if_exist(str(tmp_path)) == 1
    assert reader.scaler.scale == 1024.0
