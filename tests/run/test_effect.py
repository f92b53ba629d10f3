"""A setting without effect is told, or refused where nothing ever reads it; none of the papers' configs has one."""

import pytest
from lamm_trainers import TRAINERS

from lamm.datasets import register_datasets
from lamm.errors import ConfigError
from lamm.run.plan import trainer_config, trainer_configs
from tests.train_command import plan

DIGITS = "--dataset digits --shots 1"


@pytest.fixture(autouse=True)
def our_data_in_an_empty_working_directory(tmp_path, monkeypatch):
    register_datasets()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("--trainer LAMM --template 'a {}'", "DATASET.TEMPLATE"),
        ("--trainer LAMM TRAINER.COOP.CSC True", "TRAINER.COOP.CSC"),
        ("--trainer CoOp TRAINER.COOP.N_CTX 8", "TRAINER.COOP.N_CTX"),
        ("--trainer CoOp TRAINER.LAMM.LAMBDA_KD 0.5", "TRAINER.LAMM.LAMBDA_KD"),
        ("--trainer CoOp_LAMM TRAINER.LAMM.PREC fp32", "TRAINER.LAMM.PREC"),
        ("--trainer LAMM TRAINER.LAMM.HIERARCHICAL_LOSS False TRAINER.LAMM.LAMBDA_KD 1.0", "TRAINER.LAMM.LAMBDA_KD"),
        ("--trainer LAMM OPTIM.ADAM_BETA1 0.5", "OPTIM.ADAM_BETA1"),
        ("--trainer LAMM OPTIM.GAMMA 0.5", "OPTIM.GAMMA"),
        ("--trainer LAMM OPTIM.WARMUP_EPOCH 0 OPTIM.WARMUP_CONS_LR 1e-3", "OPTIM.WARMUP_CONS_LR"),
        ("--trainer ZeroshotCLIP OPTIM.LR 0.5", "OPTIM.LR"),
        ("--trainer LAMM INPUT.GB_P 0.1", "INPUT.GB_P"),
        ("--trainer LAMM --transforms random_flip", "INPUT.PIXEL_MEAN"),
    ],
)
def test_a_setting_without_effect_on_this_run_is_one_line(line, key):
    note = plan(f"{DIGITS} {line}").note
    assert f"{key} (" in note
    assert len(note) < 450
    assert "\n" not in note


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("--head linear", r"--head \(MODEL\.HEAD\.NAME\)"),
        ("--source-domains a b --seed 1", r"--source-domains"),
        ("MODEL.INIT_WEIGHTS w.pth", r"MODEL\.INIT_WEIGHTS has no effect: --resume"),
        ("DATASET.VAL_PERCENT 0.5", r"VAL_PERCENT"),
        ("DATALOADER.RETURN_IMG0 True", "RETURN_IMG0"),
    ],
)
def test_a_key_that_nothing_reads_is_refused_on_the_command_line_and_told_of_a_file(line, key, tmp_path):
    with pytest.raises(ConfigError, match=key):
        plan(f"{DIGITS} --trainer LAMM {line}")
    (tmp_path / "own.yaml").write_text("MODEL: {INIT_WEIGHTS: w.pth}\n")
    assert "MODEL.INIT_WEIGHTS (" in plan(f"{DIGITS} --trainer LAMM --config-file own.yaml").note


@pytest.mark.parametrize("trainer", [one.__name__ for one in TRAINERS])
def test_no_config_of_the_papers_sets_a_key_without_effect(trainer):
    for name in trainer_configs(trainer):
        assert plan(f"{DIGITS} --trainer {trainer} --config-file {trainer_config(trainer, name)}").note == ""


@pytest.mark.parametrize(
    "line",
    [
        "DATALOADER.RETURN_IMG0 False",
        "OPTIM.MOMENTUM 0.5",
        "--trainer KgCoOp --template 'a {}'",
        "OPTIM.NAME adam OPTIM.ADAM_BETA1 0.5",
        "OPTIM.WARMUP_EPOCH 0",
    ],
)
def test_defaults_and_what_is_read_are_not_told(line):
    assert plan(f"{DIGITS} --trainer LAMM {line}").note == ""


def test_what_other_peoples_trainers_read_is_not_known(monkeypatch):
    from lamm_trainers import LAMM

    from lamm.engine import TRAINER_REGISTRY

    class Theirs(LAMM):
        pass

    monkeypatch.setattr(TRAINER_REGISTRY, "get", lambda name: Theirs)
    assert plan(f"{DIGITS} --trainer LAMM --head linear TRAINER.COOP.CSC True").note == ""
