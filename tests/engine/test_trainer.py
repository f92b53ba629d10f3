"""The life cycle of a trainer: order of hooks, printed lines, tests and model selection."""

import re

import pytest
import torch
from torch import nn

from lamm.engine.embedded.registry import TRAINER_REGISTRY, build_trainer
from lamm.engine.embedded.trainer import TrainerBase
from lamm.errors import CheckpointError
from tests.engine.toy_run import ToyTrainer, toy_config, toy_trainer

PROGRESS = re.compile(
    r"epoch \[\d+/2\] batch \[\d/5\] time \d+\.\d{3} \(\d+\.\d{3}\) data \d+\.\d{3} \(\d+\.\d{3}\) "
    r"loss \d+\.\d{4} \(\d+\.\d{4}\) acc \d+\.\d{4} \(\d+\.\d{4}\) lr \d\.\d{4}e[+-]\d\d eta \d+:\d\d:\d\d"
)


def test_hooks_run_in_the_order_of_dassl_and_see_what_dassl_has_set_by_then(tmp_path):
    seen = []

    class Watched(ToyTrainer):
        def check_cfg(self, cfg):
            seen.append(("check_cfg", hasattr(self, "cfg"), hasattr(self, "device")))

        def build_data_loader(self):
            seen.append(("build_data_loader", self.max_epoch, self.start_epoch, self.epoch))
            super().build_data_loader()

        def build_model(self):
            seen.append(("build_model", self.num_classes, hasattr(self, "evaluator"), hasattr(self, "num_batches")))
            super().build_model()

        def before_train(self):
            seen.append(("before_train", self.best_result))

        def before_epoch(self):
            seen.append(("before_epoch", self.epoch))

        def run_epoch(self):
            seen.append(("run_epoch", self.epoch))

        def after_epoch(self):
            seen.append(("after_epoch", self.epoch))

        def after_train(self):
            seen.append(("after_train", self.epoch))

    Watched(toy_config(tmp_path, MAX_EPOCH=2)).train()
    assert seen == [
        ("check_cfg", False, False),
        ("build_data_loader", 2, 0, 0),
        ("build_model", 3, False, False),
        ("before_train", -float("inf")),
        *[(hook, epoch) for epoch in range(2) for hook in ("before_epoch", "run_epoch", "after_epoch")],
        ("after_train", 1),
    ]


def test_before_train_may_move_the_first_epoch(tmp_path):
    class LateStart(ToyTrainer):
        def before_train(self):
            super().before_train()
            self.start_epoch = 5

    trainer = LateStart(toy_config(tmp_path))
    trainer.init_writer = lambda log_dir: None
    trainer.train()
    assert len(trainer.rates) == 1


def test_a_run_prints_the_lines_of_dassl(tmp_path, capsys):
    cfg = toy_config(tmp_path, MAX_EPOCH=2)
    cfg.TRAIN.PRINT_FREQ = 2
    toy_trainer(cfg).train()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "No checkpoint found, train from scratch"
    progress = [line for line in lines if line.startswith("epoch ")]
    assert len(progress) == 4
    assert all(PROGRESS.fullmatch(line) for line in progress)
    end = lines.index("Finish training")
    assert lines[end + 1 : end + 4] == ["Deploy the last-epoch model", "Evaluate on the *test* set", "=> result"]
    assert re.fullmatch(r"Elapsed: \d+:\d\d:\d\d", lines[-1])


def test_every_batch_is_printed_when_an_epoch_has_fewer_than_the_frequency(tmp_path, capsys):
    cfg = toy_config(tmp_path, MAX_EPOCH=2, WARMUP_EPOCH=1)
    cfg.TEST.NO_TEST = True
    toy_trainer(cfg).train()
    out = capsys.readouterr().out
    assert [line.split()[1:4] for line in out.splitlines() if line.startswith("epoch")] == [
        [f"[{epoch}/2]", "batch", f"[{batch}/5]"] for epoch in (1, 2) for batch in range(1, 6)
    ]
    # The rate of an epoch's last line is already the next epoch's.
    assert re.findall(r"lr (\S+)", out) == ["1.0000e-05"] * 4 + ["2.0000e-02"] * 5 + ["1.0000e-02"]
    assert "Evaluate" not in out


def test_training_writes_its_curves_to_tensorboard(tmp_path, capsys):
    written = []

    class Writer:
        def add_scalar(self, tag, value, step):
            written.append((tag, step))

        def close(self):
            written.append(("closed", None))

    trainer = toy_trainer(toy_config(tmp_path, MAX_EPOCH=2))
    trainer._writer = Writer()
    trainer.train()
    assert [step for tag, step in written if tag == "train/loss"] == list(range(10))
    assert {tag for tag, _ in written} == {"train/loss", "train/acc", "train/lr", "closed"} | {
        f"test/{name}" for name in ("accuracy", "error_rate", "macro_f1")
    }
    assert [step for tag, step in written if tag == "test/accuracy"] == [1]
    assert written[-1][0] == "closed"


def test_the_writer_lies_in_the_output_folder(tmp_path, capsys):
    trainer = ToyTrainer(toy_config(tmp_path, MAX_EPOCH=0))
    trainer.train()
    assert f"Initialize tensorboard (log_dir={tmp_path}/tensorboard)\n" in capsys.readouterr().out
    assert (tmp_path / "tensorboard").is_dir()


class Scripted(ToyTrainer):
    """Validation results by epoch, as given."""

    results = (50.0, 70.0, 70.0, 60.0)

    def test(self, split=None):
        if split == "val":
            return self.results[self.epoch]
        return super().test(split)


def best_val(tmp_path, **settings):
    cfg = toy_config(tmp_path, MAX_EPOCH=4, **settings)
    cfg.TEST.FINAL_MODEL = "best_val"
    cfg.TRAIN.CHECKPOINT_FREQ = 0
    trainer = Scripted(cfg)
    trainer.init_writer = lambda log_dir: None
    return trainer


def test_best_val_keeps_and_deploys_the_first_of_the_best_epochs(tmp_path, capsys):
    best_val(tmp_path).train()
    names = sorted(path.name for path in (tmp_path / "toy").iterdir())
    assert names == ["checkpoint", "model-best.pth.tar", "model.pth.tar-4"]
    best = torch.load(tmp_path / "toy" / "model-best.pth.tar", weights_only=True)
    assert (best["epoch"], best["val_result"], best["best_result"]) == (2, 70.0, 70.0)
    assert (tmp_path / "toy" / "checkpoint").read_text().strip() == "model.pth.tar-4"
    out = capsys.readouterr().out
    assert out.count("model-best.pth.tar\n") == 2
    assert (
        "Deploy the model with the best val performance\n"
        f"Load {tmp_path}/toy/model-best.pth.tar to toy (epoch=2, val_result=70.0)\nEvaluate on the *test* set\n"
    ) in out


def test_best_val_points_a_broken_run_at_the_best_epoch(tmp_path):
    trainer = best_val(tmp_path)
    trainer.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert (tmp_path / "toy" / "checkpoint").read_text().strip() == "model-best.pth.tar"


def test_last_step_and_any_other_word_save_the_last_epoch_only(tmp_path):
    cfg = toy_config(tmp_path, MAX_EPOCH=2)
    cfg.TRAIN.CHECKPOINT_FREQ = 0
    cfg.TEST.FINAL_MODEL = "something"
    toy_trainer(cfg).train()
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == ["checkpoint", "model.pth.tar-2"]


def test_splits_fall_back_to_the_test_set(tmp_path, capsys):
    trainer = toy_trainer(toy_config(tmp_path))
    for split in (None, "val", "train"):
        trainer.test(split)
    trainer.val_loader = None
    result = trainer.test("val")
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Evaluate")]
    assert said == [f"Evaluate on the *{split}* set" for split in ("test", "val", "test", "test")]
    assert type(result) is float


def test_testing_switches_registered_models_only_to_eval(tmp_path):
    trainer = toy_trainer(toy_config(tmp_path))
    unregistered = nn.Dropout()
    trainer.other = unregistered
    trainer.test()
    assert not trainer.model.training
    assert unregistered.training
    trainer.set_model_mode("train")
    assert trainer.model.training
    with pytest.raises(KeyError, match="mode"):
        trainer.set_model_mode("sleep")


def test_load_model_takes_any_epoch_also_without_a_validation_result(tmp_path, capsys):
    trainer = toy_trainer(toy_config(tmp_path, MAX_EPOCH=2))
    trainer.train()
    final = trainer.model[1].weight.detach().clone()
    fresh = toy_trainer(toy_config(tmp_path), seed=5)
    fresh.load_model(str(tmp_path), epoch=2)
    assert torch.equal(fresh.model[1].weight, final)
    assert f"Load {tmp_path}/toy/model.pth.tar-2 to toy (epoch=2, val_result=None)\n" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=f"No model at {tmp_path}/toy/model-best.pth.tar") as caught:
        fresh.load_model(str(tmp_path))
    assert isinstance(caught.value, CheckpointError)


def test_load_model_without_a_folder_is_skipped_with_a_note(tmp_path, capsys):
    assert toy_trainer(toy_config(tmp_path)).load_model("") is None
    assert capsys.readouterr().out == (
        "Note that load_model() is skipped as no pretrained model is given (ignore this if it's done on purpose)\n"
    )


def test_a_loss_that_is_no_number_stops_training(tmp_path):
    trainer = toy_trainer(toy_config(tmp_path))
    with pytest.raises(FloatingPointError, match="Loss is infinite or NaN!"):
        trainer.model_backward_and_update(torch.tensor(float("nan"), requires_grad=True))


def test_names_are_registered_once_and_asked_for_rightly():
    trainer = TrainerBase()
    trainer.register_model("a", nn.Linear(1, 1))
    with pytest.raises(AssertionError, match="Found duplicate model names"):
        trainer.register_model("a", nn.Linear(1, 1))
    with pytest.raises(AssertionError, match='"b"'):
        trainer.get_model_names("b")
    assert trainer.get_model_names() == ["a"]


def test_a_trainer_that_registers_nothing_tests_and_loads_nothing(tmp_path):
    class ZeroShot(ToyTrainer):
        def build_model(self):
            self.model = nn.Linear(6, 3)

    trainer = ZeroShot(toy_config(tmp_path))
    trainer.load_model(str(tmp_path))
    assert 0.0 <= trainer.test() <= 100.0


def test_the_config_names_the_trainer(tmp_path, capsys):
    class EngineTestTrainer(ToyTrainer):
        pass

    TRAINER_REGISTRY.register(EngineTestTrainer, force=True)
    cfg = toy_config(tmp_path)
    cfg.VERBOSE = True
    cfg.TRAINER.NAME = "EngineTestTrainer"
    assert isinstance(build_trainer(cfg), EngineTestTrainer)
    assert capsys.readouterr().out.startswith("Loading trainer: EngineTestTrainer\n")
    cfg.TRAINER.NAME = "EngineTestTrainr"
    with pytest.raises(ValueError, match="do you mean"):
        build_trainer(cfg)
