"""Checkpoint files: layout, plain content, one-line errors; and a resumed run equals one that was not interrupted."""

import io
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from torch import nn

import lamm.engine.embedded.checkpoint as checkpoint_module
from lamm.engine.embedded.checkpoint import (
    checkpoints_to_resume,
    load_checkpoint,
    load_weights,
    pointed_checkpoint,
    resume_from_checkpoint,
    save_checkpoint,
    write_tensors,
)
from lamm.engine.embedded.dassl_utils import load_pretrained_weights
from lamm.errors import CheckpointError
from tests.engine.toy_run import toy_config, toy_trainer


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    trainer = toy_trainer(toy_config(folder, MAX_EPOCH=3))
    trainer.train()
    return folder, trainer


def test_a_run_leaves_one_file_an_epoch_and_a_pointer_to_the_last(finished):
    folder, _ = finished
    names = sorted(path.name for path in (folder / "toy").iterdir())
    assert names == ["checkpoint", "model.pth.tar-1", "model.pth.tar-2", "model.pth.tar-3"]
    assert (folder / "toy" / "checkpoint").read_text().strip() == "model.pth.tar-3"


def test_a_file_has_the_keys_of_dassl_and_what_an_exact_resume_needs(finished):
    folder, trainer = finished
    saved = torch.load(folder / "toy" / "model.pth.tar-3", weights_only=True)
    assert list(saved)[:5] == ["state_dict", "epoch", "optimizer", "scheduler", "val_result"]
    assert set(saved) - set(list(saved)[:5]) == {"best_result", "rng_state"}
    assert (saved["epoch"], saved["val_result"]) == (3, None)
    assert set(saved["rng_state"]) == {"python", "numpy", "torch", "cuda"}
    for key, value in trainer.model.state_dict().items():
        assert torch.equal(saved["state_dict"][key], value)


def test_models_without_optimiser_are_saved_with_none(tmp_path):
    trainer = toy_trainer(toy_config(tmp_path))
    trainer.register_model("frozen", nn.Linear(1, 1))
    trainer.save_model(0, str(tmp_path))
    saved = load_checkpoint(tmp_path / "frozen" / "model.pth.tar-1")
    assert saved["optimizer"] is None
    assert saved["scheduler"] is None


def test_one_leading_module_is_stripped_and_the_best_copied(tmp_path, capsys):
    weights = OrderedDict({"module.module.a": torch.ones(1), "b.module.c": torch.zeros(1)})
    save_checkpoint({"state_dict": weights, "epoch": 4}, tmp_path, is_best=True)
    assert capsys.readouterr().out == f"Checkpoint saved to {tmp_path}/model.pth.tar-4\n"
    assert list(load_checkpoint(tmp_path / "model-best.pth.tar")["state_dict"]) == ["module.a", "b.module.c"]
    assert list(weights) == ["module.module.a", "b.module.c"]


def test_what_is_not_data_is_left_out_and_named(tmp_path, capsys):
    scheduler = {"last_epoch": np.int64(3), "function": lambda epoch: epoch, "successor": nn.Linear(1, 1)}
    save_checkpoint({"state_dict": {}, "epoch": 1, "scheduler": scheduler}, tmp_path)
    assert "scheduler.function (function)" in capsys.readouterr().out
    saved = torch.load(tmp_path / "model.pth.tar-1", weights_only=True)["scheduler"]
    assert set(saved) == {"last_epoch", "successor"}
    assert type(saved["last_epoch"]) is int
    assert set(saved["successor"]) == {"weight", "bias"}


def test_a_failed_save_leaves_the_former_checkpoint_in_charge(tmp_path, monkeypatch):
    save_checkpoint({"state_dict": {}, "epoch": 1}, tmp_path)

    def break_off(value, content):
        content.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint({"state_dict": {}, "epoch": 2}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "model.pth.tar-1"]
    assert pointed_checkpoint(tmp_path).endswith("model.pth.tar-1")


def test_no_path_a_missing_file_and_a_folder_without_pointer_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="None"):
        load_checkpoint(None)
    for attempt in (lambda: load_checkpoint(tmp_path / "no"), lambda: pointed_checkpoint(tmp_path)):
        with pytest.raises(FileNotFoundError, match=str(tmp_path)) as caught:
            attempt()
        assert isinstance(caught.value, CheckpointError)
        assert "\n" not in str(caught.value)


def test_a_damaged_file_is_one_line(finished, tmp_path, capsys):
    intact = (finished[0] / "toy" / "model.pth.tar-1").read_bytes()
    path = tmp_path / "model.pth.tar-1"
    for content in (b"", b"garbage that is not a checkpoint", b"PK\x03\x04 cut off", intact[: len(intact) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged") as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)
        assert f'Unable to load checkpoint from "{path}"' in capsys.readouterr().out


def test_weights_of_another_model_are_refused_on_one_line(finished, tmp_path):
    folder, _ = finished
    with pytest.raises(CheckpointError, match="do not fit") as caught:
        resume_from_checkpoint(folder / "toy", nn.Linear(2, 2))
    assert isinstance(caught.value, RuntimeError)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="state_dict"):
        load_weights(nn.Linear(1, 1), {"weight": torch.ones(1)}, "file")


def test_pretrained_weights_are_taken_as_far_as_they_fit(tmp_path, capsys):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": {"module.weight": torch.full((2, 2), 5.0), "bias": torch.ones(7)}}, path)
    model = nn.Linear(2, 2)
    bias = model.bias.detach().clone()
    load_pretrained_weights(model, path)
    assert torch.equal(model.weight, torch.full((2, 2), 5.0))
    assert torch.equal(model.bias, bias)
    assert "Layers discarded due to unmatched keys or size: ['bias']" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="check the key names manually"):
        load_pretrained_weights(nn.Linear(3, 3), path)


class Malicious:
    """Runs code when an ordinary unpickler meets it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (self.target, "w")


def test_foreign_code_in_a_checkpoint_never_runs(tmp_path):
    target = tmp_path / "written by foreign code"
    path = tmp_path / "model.pth.tar-1"
    torch.save({"state_dict": {"a": torch.ones(2)}, "epoch": 3, "scheduler": Malicious(str(target))}, path)
    loaded = load_checkpoint(path)
    assert not target.exists()
    assert torch.equal(loaded["state_dict"]["a"], torch.ones(2))
    assert (loaded["epoch"], loaded["scheduler"]) == (3, {})


class Options:
    """A class of another project, with a tensor and an object of its own kind inside."""

    def __init__(self, inner=None):
        self.rate, self.weight, self.inner = 0.5, torch.ones(1), inner


def test_objects_of_foreign_classes_become_dictionaries_of_their_state(tmp_path):
    torch.save({"state_dict": {}, "args": Options(Options()), "names": {"a", "b"}}, tmp_path / "file")
    loaded = load_checkpoint(tmp_path / "file")["args"]
    assert type(loaded) is type(loaded["inner"]) is dict
    assert (loaded["rate"], loaded["inner"]["rate"], loaded["inner"]["inner"]) == (0.5, 0.5, None)
    assert torch.equal(loaded["inner"]["weight"], torch.ones(1))


def test_an_optimizer_and_its_scheduler_as_dassl_pickles_them_become_plain_data(tmp_path):
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10.0)
    parameter.sum().backward()
    optimizer.step()
    assert type(optimizer.state) is defaultdict
    torch.save({"scheduler": {"successor": successor}, "whole": optimizer}, tmp_path / "file")
    loaded = load_checkpoint(tmp_path / "file")
    assert loaded["scheduler"]["successor"]["T_max"] == 10.0
    (state,) = loaded["whole"]["state"].values()
    assert torch.equal(state["momentum_buffer"], torch.ones(2))
    torch.save(loaded, tmp_path / "again")
    torch.load(tmp_path / "again", weights_only=True)


def with_pickle(path, code):
    """Write an archive of torch's whose pickled part is this code."""
    blank = io.BytesIO()
    torch.save({}, blank)
    source = zipfile.ZipFile(blank)
    with zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, code if name.endswith("data.pkl") else source.read(name))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'touch %s'\ntR.",
        b"\x80\x02cos\nsystem\nX%c\x00\x00\x00touch %s\x85R.",
        b"\x80\x02cbuiltins\neval\nX%c\x00\x00\x00touch %s\x85Rc__main__\nanything\n\x85R.",  # calls a result
        b"\x80\x04\x8c\x05torch\x8c\x11os.path.os.system\x93\x8c%ctouch %s\x85R.",  # reaches through dots
    ],
)
def test_hostile_code_is_refused_on_one_line_without_running_it(tmp_path, code, wrapped):
    target = str(tmp_path / "ran").encode()
    code = code % ((target,) if code.count(b"%") == 1 else (len(b"touch " + target), target))
    if wrapped:
        with_pickle(tmp_path / "file", code)
    else:
        (tmp_path / "file").write_bytes(code)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_torchscript_archive_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "file")
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path / "file")


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


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("epoch",), -3), (("epoch",), {}), (("state_dict",), 5), (("state_dict",), {5: torch.ones(1)}),
        (("optimizer",), 5), (("optimizer", "param_groups"), [1]), (("optimizer", "param_groups", 0, "lr"), "x"),
        (("optimizer", "param_groups", 0, "lr"), float("nan")), (("optimizer", "state", 0, "momentum_buffer"), 5),
        (("optimizer", "state", 0, "momentum_buffer"), torch.ones(7)), (("scheduler",), [1]),
        (("scheduler", "successor"), 5),
        (("scheduler", "successor", "T_max"), 0), (("scheduler", "base_lrs"), ["x"]), (("rng_state",), 5),
        (("rng_state", "python"), [3, [1], None]), (("rng_state", "torch"), torch.ones(3)),
    ],
)  # fmt: skip
def test_a_file_with_something_else_in_a_place_is_one_line(tmp_path, place, value):
    interrupted(tmp_path, 2, WARMUP_EPOCH=1)
    path = tmp_path / "toy" / "model.pth.tar-2"
    content = entry = load_checkpoint(path)
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] = value
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        finish(tmp_path, WARMUP_EPOCH=1)
    assert "\n" not in str(caught.value)


def test_a_schedule_keeps_its_methods_whatever_a_file_says(tmp_path):
    whole = toy_trainer(toy_config(tmp_path / "whole"))
    whole.train()
    interrupted(tmp_path / "parts", 3)
    path = tmp_path / "parts" / "toy" / "model.pth.tar-3"
    content = load_checkpoint(path)
    content["scheduler"]["step"] = content["scheduler"]["get_lr"] = 5
    torch.save(content, path)
    assert finish(tmp_path / "parts").rates == whole.rates[3:]


def test_a_run_killed_before_its_first_checkpoint_starts_anew(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / ".model.pth.tar-1.0123abcd.tmp").write_bytes(b"half")
    trainer = toy_trainer(toy_config(tmp_path))
    trainer.train()
    assert len(trainer.rates) == trainer.max_epoch


@pytest.mark.parametrize("pointer", [None, "model.pth.tar-9"])
def test_a_run_killed_before_the_pointer_to_a_file_goes_on_from_the_newest_one(tmp_path, pointer):
    whole = toy_trainer(toy_config(tmp_path / "whole"))
    whole.train()
    interrupted(tmp_path / "parts", 3)
    folder = tmp_path / "parts" / "toy"
    (folder / "checkpoint").unlink()
    if pointer:
        (folder / "checkpoint").write_text(pointer)
    assert finish(tmp_path / "parts").rates == whole.rates[3:]
    assert_same(weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"))


def test_models_whose_newest_files_are_of_different_epochs_go_on_from_the_last_common_one(tmp_path):
    for name, epochs in (("first", (1, 2)), ("second", (1,))):
        for epoch in epochs:
            save_checkpoint({"state_dict": {}, "epoch": epoch}, tmp_path / name)
    folders = [str(tmp_path / name) for name in ("first", "second")]
    assert checkpoints_to_resume(folders) == [f"{folder}/model.pth.tar-1" for folder in folders]
    (tmp_path / "first" / "model.pth.tar-1").unlink()
    assert checkpoints_to_resume(folders) == []


def test_a_run_killed_between_the_files_of_an_epoch_ends_with_the_same_files(tmp_path, monkeypatch):
    def start(folder, files):
        """Train until so many checkpoint files have been written in this start, as if killed before the next."""
        cfg = toy_config(folder)
        cfg.TEST.FINAL_MODEL = "best_val"
        left = iter(range(files))

        def write(path, value):
            if next(left, None) is None:
                raise KeyboardInterrupt
            write_tensors(path, value)

        monkeypatch.setattr(checkpoint_module, "write_tensors", write)
        toy_trainer(cfg).train()

    start(tmp_path / "whole", 99)
    for files in (0, 1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path / "parts", files)
    start(tmp_path / "parts", 99)
    names = sorted(file.name for file in (tmp_path / "whole" / "toy").iterdir())
    assert sorted(file.name for file in (tmp_path / "parts" / "toy").iterdir()) == names
    for name in set(names) - {"checkpoint"}:
        assert_same(weights_of(tmp_path / "parts", name), weights_of(tmp_path / "whole", name))


def test_a_pointer_leads_to_no_other_folder(tmp_path):
    (tmp_path / "checkpoint").write_bytes(b"../../\xff")
    assert os.path.dirname(pointed_checkpoint(tmp_path)) == str(tmp_path)


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
