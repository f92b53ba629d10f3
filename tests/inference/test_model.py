"""A trained classifier: its run's folder read back, its probabilities, its refusals."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lamm_trainers import LAMM, extend_cfg
from lamm_trainers import TRAINERS as ALL

from lamm.engine import TRAINER_REGISTRY, TrainerX, get_cfg_default, load_checkpoint, save_checkpoint, set_random_seed
from lamm.errors import BackboneError, CheckpointError, ConfigError, PromptError
from lamm.inference.model import RunFolder, TrainedModel
from lamm.inference.photos import PhotoFiles
from lamm.results.schema import RunResults
from lamm.run.fingerprint import store_config
from lamm.run.record import RunClasses

TRAINERS = {trainer.__name__: trainer for trainer in ALL}
LEARNING = [name for name, trainer in TRAINERS.items() if trainer.learner_class is not None]
CLASSES = ["red_square", "green", "blue (dark)"]
Config = Callable[..., Any]


def some_images() -> torch.Tensor:
    """Images of noise, (4, 3, 32, 32)."""
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def run_on(cfg: Any, status: str = "finished", train: bool = True) -> Any:
    """A run with the files that `lamm.run.execute` writes around it; the trainer."""
    set_random_seed(3)
    trainer = TRAINERS[cfg.TRAINER.NAME](cfg)
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    store_config(cfg, folder)
    RunClasses.of_trainer(trainer).write(folder)
    if train:
        trainer.train()
    metrics = {"accuracy": 50.0, "error_rate": 50.0, "macro_f1": 40.0} if status == "finished" else {}
    RunResults(
        trainer=cfg.TRAINER.NAME,
        dataset="squares",
        shots=4,
        seed=1,
        cfg="small",
        protocol="few-shot",
        split="test",
        metrics=metrics,
        precision=trainer.precision,
        config_hash="0",
        status=status,
    ).write(folder / "results.json")
    return trainer


def with_evaluation(cfg: Any, model_dir: str, epoch: int = -1) -> Any:
    """The config as `--eval-only --model-dir` makes it."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.EVALUATION = type(cfg)({"MODEL_DIR": model_dir, "LOAD_EPOCH": epoch})
    cfg.freeze()
    return cfg


def edit_config(folder: Path, section: str, **changes: Any) -> None:
    file = folder / "config.yaml"
    content = yaml.safe_load(file.read_text())
    content[section] |= changes
    file.write_text(yaml.safe_dump(content))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.mark.parametrize("name", TRAINERS)
def test_it_gives_the_logits_that_the_run_tested(name: str, squares_config: Config, run: Path, tmp_path: Path) -> None:
    trainer = run_on(squares_config(name, "run"))
    for photo in tmp_path.glob("*.png"):
        photo.unlink()  # the data root
    classifier = TrainedModel.from_run(run, [extend_cfg])
    assert classifier.class_names == CLASSES
    assert classifier.notes == []
    expected = trainer.model_inference(some_images())
    assert torch.equal(classifier.logits(some_images()), expected)
    assert torch.equal(classifier.logits(some_images()), expected)  # from what was kept of the first time
    assert torch.equal(classifier.probabilities(some_images()), expected.softmax(dim=1))


def test_its_transform_is_that_of_the_test_images(squares_config: Config, run: Path) -> None:
    trainer = run_on(squares_config("ZeroshotCLIP", "run"), train=False)
    batch = next(iter(trainer.test_loader))
    photos = PhotoFiles(batch["impath"], TrainedModel.from_run(run, [extend_cfg]).transform)
    images = [photos[place][1] for place in range(len(batch["impath"]))]
    assert torch.equal(torch.stack(images), batch["img"])


def test_the_ensembles_templates_come_from_the_folder(squares_config: Config, run: Path) -> None:
    trainer = run_on(squares_config("ZeroshotCLIP", "run", "TRAINER.ZEROSHOTCLIP.ENSEMBLE", True))
    assert len(json.loads((run / "classes.json").read_text())["templates"]) == 8
    assert torch.equal(
        TrainedModel.from_run(run, [extend_cfg]).logits(some_images()), trainer.model_inference(some_images())
    )


def test_a_moved_folder_is_as_good(squares_config: Config, run: Path, tmp_path: Path) -> None:
    trainer = run_on(squares_config("CoOp", "run"))
    run.rename(tmp_path / "moved")
    classifier = TrainedModel.from_run(tmp_path / "moved", [extend_cfg])
    assert torch.equal(classifier.logits(some_images()), trainer.model_inference(some_images()))


@pytest.mark.parametrize("name", LEARNING)
def test_an_older_folder_says_its_classes_in_the_checkpoint(name: str, squares_config: Config, run: Path) -> None:
    trainer = run_on(squares_config(name, "run"))
    (run / "classes.json").unlink()
    classifier = TrainedModel.from_run(run, [extend_cfg])
    assert classifier.class_names == CLASSES
    assert torch.equal(classifier.logits(some_images()), trainer.model_inference(some_images()))


def test_a_head_whose_templates_nobody_knows_is_refused(squares_config: Config, run: Path) -> None:
    run_on(squares_config("NearestMean", "run"))
    file = run / "classes.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "templates": []}))
    with pytest.raises(PromptError, match="classes.json"):
        TrainedModel.from_run(run, [extend_cfg])


def test_where_nobody_knows_the_classes_it_is_an_error(squares_config: Config, run: Path) -> None:
    run_on(squares_config("ZeroshotCLIP", "run"))
    (run / "classes.json").unlink()
    with pytest.raises(CheckpointError, match="does not say what its classes are called"):
        TrainedModel.from_run(run, [extend_cfg])


@pytest.mark.parametrize(("final_model", "expected"), [("best_val", 1), ("last_step", 2)])
def test_the_checkpoint_is_the_one_that_the_run_tested(
    final_model: str, expected: int, squares_config: Config, run: Path, tmp_path: Path
) -> None:
    run_on(squares_config("LAMM", "run"))
    folder = run / "prompt_learner"
    shutil.copy(folder / "model.pth.tar-1", folder / "model-best.pth.tar")
    edit_config(run, "TEST", FINAL_MODEL=final_model)
    learned = load_checkpoint(folder / f"model.pth.tar-{expected}")["state_dict"]["label_embeddings"]
    assert torch.equal(TrainedModel.from_run(run, [extend_cfg]).learner.label_embeddings, learned)


def test_an_unfinished_run_gives_its_last_checkpoint_and_says_so(squares_config: Config, run: Path) -> None:
    run_on(squares_config("LAMM", "run", "OPTIM.MAX_EPOCH", 1), status="running")
    edit_config(run, "OPTIM", MAX_EPOCH=50)
    (note,) = TrainedModel.from_run(run, [extend_cfg]).notes
    assert note.startswith("the run is unfinished: this is its model after 1 of 50 epochs")


def test_a_run_that_was_never_tested_is_finished_when_its_epochs_are(squares_config: Config, run: Path) -> None:
    run_on(squares_config("LAMM", "run", "TEST.NO_TEST", True), status="running")
    assert TrainedModel.from_run(run, [extend_cfg]).notes == []


@pytest.mark.parametrize("name", LEARNING)
def test_a_run_without_a_checkpoint_is_refused(name: str, squares_config: Config, run: Path) -> None:
    run_on(squares_config(name, "run"), status="running", train=False)
    with pytest.raises(CheckpointError, match="has no checkpoint: it has not got that far"):
        TrainedModel.from_run(run, [extend_cfg])


@pytest.mark.parametrize(("epoch", "expected"), [(-1, 2), (1, 1)])
def test_a_run_that_only_tests_is_followed_to_its_model(
    epoch: int, expected: int, squares_config: Config, run: Path, tmp_path: Path
) -> None:
    run_on(squares_config("LAMM", "trained"))
    trained = tmp_path / "trained"
    run_on(with_evaluation(squares_config("LAMM", "run"), str(trained), epoch), train=False)
    classifier = TrainedModel.from_run(run, [extend_cfg])
    file = trained / "prompt_learner" / f"model.pth.tar-{expected}"
    assert torch.equal(classifier.learner.label_embeddings, load_checkpoint(file)["state_dict"]["label_embeddings"])
    assert classifier.notes == [f"the run only tested the model of {trained}, which is used here"]


def test_a_run_that_only_tests_has_the_classes_it_tested_on(squares_config: Config, run: Path, tmp_path: Path) -> None:
    run_on(squares_config("LAMM", "trained"))
    trained = tmp_path / "trained"
    run_on(with_evaluation(squares_config("LAMM", "run"), str(trained)), train=False)
    RunClasses(["green", "an unknown one"], []).write(run)
    classifier = TrainedModel.from_run(run, [extend_cfg])
    assert classifier.class_names == ["green", "an unknown one"]
    bank = load_checkpoint(trained / "prompt_learner" / "model.pth.tar-2")["state_dict"]
    green = bank["label_embeddings"][sum(bank["_extra_state"]["label_counts"][:1])]
    assert torch.equal(classifier.learner.label_embeddings[0], green)
    (run / "classes.json").unlink()
    with pytest.raises(CheckpointError, match="or give the folder of the training run"):
        TrainedModel.from_run(run, [extend_cfg])


def test_a_tested_model_that_is_gone_is_an_error(squares_config: Config, run: Path, tmp_path: Path) -> None:
    run_on(with_evaluation(squares_config("LAMM", "run"), str(tmp_path / "gone")), train=False)
    with pytest.raises(CheckpointError, match="gone, which is not there any more: give the training run's folder"):
        TrainedModel.from_run(run, [extend_cfg])


def test_a_test_of_an_untrained_model_is_refused(squares_config: Config, run: Path) -> None:
    run_on(with_evaluation(squares_config("CoOp", "run"), ""), train=False)
    with pytest.raises(CheckpointError, match="tested a model that had learned nothing"):
        TrainedModel.from_run(run, [extend_cfg])


def test_a_zero_shot_run_that_only_tests_needs_no_model(squares_config: Config, run: Path) -> None:
    trainer = run_on(with_evaluation(squares_config("ZeroshotCLIP", "run"), ""), train=False)
    assert torch.equal(
        TrainedModel.from_run(run, [extend_cfg]).logits(some_images()), trainer.model_inference(some_images())
    )


def test_another_precision_than_the_runs_is_told(squares_config: Config, run: Path) -> None:
    run_on(squares_config("LAMM", "run"))
    classifier = TrainedModel.from_run(run, [extend_cfg], precision="bf16")
    assert classifier.clip.precision == "bf16"
    assert classifier.notes == ["the run used precision fp32, here it is bf16"]
    with pytest.raises(ConfigError, match='unknown PREC "fp8"'):
        TrainedModel.from_run(run, [extend_cfg], precision="fp8")


def test_weights_that_are_not_there_name_the_way_to_give_them(
    squares_config: Config, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_on(squares_config("LAMM", "run"))
    shutil.rmtree(run / "prompt_learner")  # weights are asked for first
    asked = []

    def missing(name: str, path: str, *_: Any) -> Any:
        asked.append(path)
        raise BackboneError(f"MODEL.BACKBONE.PATH: no file or folder {path}")

    monkeypatch.setattr("lamm_trainers.base.weights_of", missing)
    with pytest.raises(BackboneError, match=r"no file or folder there\.pt \(--backbone-path gives"):
        TrainedModel.from_run(run, [extend_cfg], backbone_path="there.pt")
    assert asked == ["there.pt"]


def test_a_checkpoint_of_another_method_is_refused(squares_config: Config, run: Path, tmp_path: Path) -> None:
    run_on(squares_config("CoOp", "run"))
    run_on(squares_config("LAMM", "other"))
    shutil.copytree(tmp_path / "other" / "prompt_learner", run / "prompt_learner", dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match="it was made by another method"):
        TrainedModel.from_run(run, [extend_cfg])


def test_a_checkpoint_without_weights_is_an_error(squares_config: Config, run: Path) -> None:
    run_on(squares_config("LAMM", "run"))
    save_checkpoint({"state_dict": {}, "epoch": 2}, run / "prompt_learner")
    with pytest.raises(CheckpointError, match="it was made by another method"):
        TrainedModel.from_run(run, [extend_cfg])


def test_a_trainer_of_another_kind_is_refused(
    squares_config: Config, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Theirs(TrainerX):
        pass

    run_on(squares_config("LAMM", "run"))
    edit_config(run, "TRAINER", NAME="Theirs")
    table, *_ = (value for value in vars(TRAINER_REGISTRY).values() if isinstance(value, dict))
    monkeypatch.setitem(table, "Theirs", Theirs)
    with pytest.raises(ConfigError, match="a run of Theirs, which is not built on PromptTrainer"):
        TrainedModel.from_run(run, [extend_cfg])


def write_run(folder: Path, trainer: str = "LAMM", **more: Any) -> Path:
    """`config.yaml` of a run, with more top-level sections."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.TRAINER.NAME = trainer
    cfg.INPUT.SIZE = (32, 48)
    cfg.OPTIM.LR = 0.25
    folder.mkdir(parents=True)
    store_config(cfg, folder)
    if more:
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **more}))
    return folder


def opened(folder: Path) -> RunFolder:
    return RunFolder.open(folder, [extend_cfg])


def test_the_config_comes_back_as_it_was(tmp_path: Path) -> None:
    run = opened(write_run(tmp_path / "run"))
    assert run.trainer_class is LAMM
    assert run.cfg.INPUT.SIZE == (32, 48)
    assert run.cfg.OPTIM.LR == 0.25
    assert (run.only_tests, run.classes, run.results, run.finished) == (False, None, None, False)


def test_the_classes_come_with_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    classes = RunClasses(["a", "b"], ["{}"])
    classes.write(folder)
    assert opened(folder).classes == classes


def test_a_config_from_before_a_key_takes_its_default(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    content = yaml.safe_load((folder / "config.yaml").read_text())
    del content["TRAINER"]["TEXT_CHUNK"]
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    assert opened(folder).cfg.TRAINER.TEXT_CHUNK == 0


def test_a_run_that_only_tests_says_which_model(tmp_path: Path) -> None:
    run = opened(write_run(tmp_path / "run", EVALUATION={"MODEL_DIR": "/there", "LOAD_EPOCH": 5}))
    assert run.only_tests
    assert (run.cfg.EVALUATION.MODEL_DIR, run.cfg.EVALUATION.LOAD_EPOCH) == ("/there", 5)


def test_keys_of_other_trainers_are_added_by_their_own_function(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", MINE={"WEIGHT": 2.0})
    with pytest.raises(ConfigError, match=r"unknown config key \"MINE\.WEIGHT\""):
        opened(folder)

    def extend(cfg: Any) -> None:
        cfg.MINE = type(cfg)({"WEIGHT": 1.0})

    assert RunFolder.open(folder, [extend, extend_cfg]).cfg.MINE.WEIGHT == 2.0


def test_a_trainer_that_is_not_registered_asks_for_its_code(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'trainer "Theirs", which is not ours: give its code with --import'):
        opened(write_run(tmp_path / "run", trainer="Theirs", THEIRS={"KEY": 1}))


def test_a_folder_above_runs_names_them(tmp_path: Path) -> None:
    write_run(tmp_path / "LAMM" / "tiny" / "seed1")
    with pytest.raises(ConfigError, match=r"holds no run: it has no config\.yaml; give one of .*/LAMM/tiny/seed1"):
        opened(tmp_path)


def test_what_is_no_run_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"holds no run: .*; give the output folder of a run"):
        opened(tmp_path)


@pytest.mark.parametrize("content", ["a: [", "- 1", "", "TRAINER: 3", "\xff"])
def test_a_damaged_config_is_an_error_that_names_it(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        opened(tmp_path)


def test_damaged_classes_are_an_error(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "classes.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"classes\.json can't be read"):
        opened(folder)


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "results.json").write_text("{")
    assert opened(folder).results is None
