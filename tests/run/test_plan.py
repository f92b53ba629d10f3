"""From a command line to a plan, without running anything."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import lamm
from lamm.errors import CheckpointError, ConfigError
from lamm.run.plan import config_root
from tests.train_command import ROOT, plan

LAMM = "--trainer LAMM --dataset digits"


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_configs_come_from_the_working_directorys_checkout_then_from_this_one_then_from_the_package(
    tmp_path, monkeypatch
):
    assert config_root() == ROOT / "configs"
    (tmp_path / "configs" / "trainers").mkdir(parents=True)
    assert config_root() == ROOT / "configs"  # some other project's
    for name in ("lamm", "trainers"):
        (tmp_path / name).mkdir()
    assert config_root() == tmp_path / "configs"
    monkeypatch.chdir("/")
    monkeypatch.setattr(lamm, "__file__", str(tmp_path / "site" / "lamm" / "__init__.py"))
    spec = SimpleNamespace(origin=str(tmp_path / "site" / "lamm_configs" / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", {"lamm_configs": spec}.__getitem__)
    assert config_root() == tmp_path / "site" / "lamm_configs"


def test_short_flags_fill_the_files_in():
    made = plan(f"{LAMM} --shots 16 --seed 1")
    assert made.output_dir == Path("output/digits/shots_16/LAMM/tiny_ep50/seed1")
    assert (made.cfg.DATASET.NAME, made.cfg.DATASET.NUM_SHOTS, made.cfg.SEED) == ("Digits", 16, 1)
    assert made.cfg.MODEL.BACKBONE.NAME == "tiny"


def test_real_data_takes_the_trainers_config_for_real_clip():
    made = plan("--trainer LAMM --dataset caltech101 --shots 16 --seed 1")
    assert made.cfg_name == "vit_b16_ep50_ctxv1"
    assert made.cfg.MODEL.BACKBONE.NAME == "ViT-B/16"


def test_dassls_flags_name_the_files(tmp_path):
    (tmp_path / "mine.yaml").write_text("DATASET: {NAME: Digits}\n")
    (tmp_path / "own.yaml").write_text("TRAINER: {NAME: CoOp}\nOPTIM: {LR: 0.5}\n")
    made = plan("--dataset-config-file mine.yaml --config-file own.yaml --seed 1")
    assert (made.dataset, made.trainer, made.cfg_name) == ("mine", "CoOp", "own")
    assert made.cfg.OPTIM.LR == 0.5
    assert made.output_dir == Path("output/mine/shots_all/CoOp/own/seed1")


@pytest.mark.parametrize(
    ("flag", "seed"), [("", -1), ("--seed 0", 0), ("--seed -1", -1), ("--seed 4294967295", 2**32 - 1)]
)
def test_seed_0_is_ordinary_and_none_is_unseeded(flag, seed):
    made = plan(f"{LAMM} {flag}")
    assert seed == made.cfg.SEED
    assert made.output_dir.name == f"seed{seed}"


def test_the_config_files_own_seed_holds_where_no_flag_is_given(tmp_path):
    (tmp_path / "own.yaml").write_text("SEED: 7\nOUTPUT_DIR: there\n")
    assert plan(f"{LAMM} --config-file own.yaml").cfg.SEED == 7
    assert plan(f"{LAMM} --config-file own.yaml --seed 0").cfg.SEED == 0
    assert plan(f"{LAMM} --config-file own.yaml").output_dir == Path("there")


def test_a_key_at_the_end_of_the_line_does_what_its_flag_does():
    made = plan("--dataset digits TRAINER.NAME CoOp SEED 3 DATASET.NUM_SHOTS 4 DATASET.ROOT d")
    assert made.output_dir == Path("output/digits/shots_4/CoOp/tiny_ep50/seed3")
    assert str(Path.cwd() / "d") == made.cfg.DATASET.ROOT


def test_the_data_root_is_absolute_and_knows_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(tmp_path / "data") == plan(LAMM).cfg.DATASET.ROOT
    assert str(tmp_path / "d") == plan(f"{LAMM} --root '~/d'").cfg.DATASET.ROOT
    assert plan(f"{LAMM} --root '~nobody-here/d'").cfg.DATASET.ROOT.endswith("d")


@pytest.mark.parametrize("line", ["folder --root", "csv --csv", "dtd --root"])
def test_a_path_that_is_not_utf8_is_one_line(line):
    with pytest.raises(ConfigError, match=r"udce9.* is not UTF-8 text"):
        plan(f"--trainer LAMM --dataset {line} caf\udce9")


def test_a_tag_gives_a_folder_of_its_own():
    made = plan(f"{LAMM} --shots 16 --seed 1 --tag v2 OPTIM.LR 0.5")
    assert made.output_dir == Path("output/digits/shots_16/LAMM/tiny_ep50+LR=0.5+TAG=v2/seed1")
    for wrong in ("a/b", "x" * 41, "v2 --output-dir there"):
        with pytest.raises(ConfigError, match="--tag"):
            plan(f"{LAMM} --tag {wrong}")


def test_flags_that_change_the_run_are_part_of_its_path():
    names = {
        plan(f"{LAMM} {more}").cfg_name
        for more in ("", "--template 'a {}'", "--backbone RN50", "--transforms normalize")
    }
    assert names >= {"tiny_ep50", "tiny_ep50+BACKBONE.NAME=RN50", "tiny_ep50+TRANSFORMS=normalize"}
    assert len(names) == 4


def test_a_template_is_a_text_whatever_it_looks_like():
    assert plan(f"{LAMM} --template '{{}}'").cfg.DATASET.TEMPLATE == "{}"


def test_an_evaluation_has_a_folder_of_its_own_for_each_model_and_one_for_all_its_seeds(tmp_path):
    for name in ("a/seed1", "a/seed2", "b"):
        (tmp_path / name).mkdir(parents=True)
    first, second = (plan(f"{LAMM} --seed {seed} --eval-only --model-dir a/seed{seed}") for seed in (1, 2))
    assert first.output_dir.parent == second.output_dir.parent
    assert first.output_dir.parts[:2] == ("output", "evaluation")
    assert str(tmp_path / "a" / "seed1") == first.cfg.EVALUATION.MODEL_DIR
    other = [f"{LAMM} --seed 1 --eval-only --model-dir {name}" for name in ("b", "a/seed1 --load-epoch 3")]
    assert len({plan(line).output_dir for line in other} | {first.output_dir}) == 3


@pytest.mark.parametrize(("weight", "expected"), [([], -1.0), (["TRAINER.LAMM.LAMBDA_WC", "1.0"], 1.0)])
def test_an_incremental_step_with_a_released_config_weighs_l_wc_as_the_authors_scripts_do(weight, expected):
    line = f"{LAMM} --config-file {ROOT}/configs/trainers/LAMM/tiny_ep50_released.yaml"
    assert plan(line).cfg.TRAINER.LAMM.LAMBDA_WC == 1.0
    step = plan(" ".join([line, "INCREMENTAL.STEPS 2 INCREMENTAL.STEP 1", *weight]))
    assert step.cfg.TRAINER.LAMM["LAMBDA_WC"] == expected


def test_resuming_from_the_own_folder_is_no_other_run(tmp_path):
    (tmp_path / "o").mkdir()
    assert plan(f"{LAMM} --output-dir o --resume o/").cfg.RESUME == ""
    assert str(tmp_path / "o") == plan(f"{LAMM} --output-dir p --resume o").cfg.RESUME


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--trainer LAM --dataset digits", 'unknown trainer "LAM"; did you mean "LAMM"'),
        ("--dataset digits", "--trainer is missing"),
        ("--trainer LAMM", "--dataset is missing"),
        ("--trainer LAMM --dataset digts", 'unknown data set "digts"; did you mean "digits"'),
        (f"{LAMM} --dataset-config-file x.yaml", "give one of them"),
        (f"{LAMM} --config-file x.py", "is not YAML"),
        (f"{LAMM} --config-file x.yaml", "does not exist"),
        ("--trainer LAMM --dataset-config-file x.py", "is not YAML"),
        (f"{LAMM} SEED -2", "got -2"),
        (f"{LAMM} SEED 4294967296", "got 4294967296"),
        (f"{LAMM} --shots 0", "--shots must be 1 or above"),
        (f"{LAMM} --shots 4 DATASET.NUM_SHOTS 8", "set twice on the command line, by --shots"),
        (f"{LAMM} --seed 1 SEED 1", "set twice"),
        (f"{LAMM} OPTIM.LR 0.1 OPTIM.LR 0.2", "set twice"),
        (f"{LAMM} OPTIM.LR 0.1 --seed 2", "--seed stands behind KEY VALUE"),
        (f"{LAMM} OPTIM.LR --seed 2", "--seed stands behind KEY VALUE"),
        (f"{LAMM} --transforms normalize OPTIM.LR 0.1", "--transforms took OPTIM.LR"),
        (f"{LAMM} OPTIM.LR", "has no value"),
        (f"{LAMM} OPTIM.LR=0.1", 'holds "="'),
        (f"{LAMM} OPTIM.LRR 0.1", 'did you mean "OPTIM.LR"'),
        (f"{LAMM} OPTIM.LR 1", "write 1.0"),
        (f"{LAMM} OPTIM.LR -0.1", "OPTIM.LR must be a number from 0 to 1000"),
        (f"{LAMM} OPTIM.LR 1e999", "OPTIM.LR must be at most 1000, got inf"),
        (f"{LAMM} OPTIM.MAX_EPOCH None", "OPTIM.MAX_EPOCH must be a whole number from 0 up, got None"),
        (f"{LAMM} TRAIN.PRINT_FREQ 0", "TRAIN.PRINT_FREQ must be a whole number from 1 up"),
        (f"{LAMM} INPUT.PIXEL_STD [0.0,1.0,1.0]", "INPUT.PIXEL_STD must be 3 values, each a number from 1e-06"),
        (f"{LAMM} TEST.SPLIT vall", 'unknown TEST.SPLIT "vall"; did you mean "val"'),
        (f"{LAMM} TEST.FINAL_MODEL best", 'unknown TEST.FINAL_MODEL "best"'),
        (f"{LAMM} --model-dir .", "are for --eval-only"),
        (f"{LAMM} --load-epoch 3", "are for --eval-only"),
        (f"{LAMM} --eval-only --no-train", "--eval-only trains nothing"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(line, said):
    with pytest.raises(ConfigError) as caught:
        plan(line)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["--seed -2", "--seed 4294967296", "--seed 1_0", "--shots -5", f"--shots {'9' * 400}"])
def test_a_flag_takes_whole_numbers_of_its_range(line, capsys):
    with pytest.raises(SystemExit, match="2"):
        plan(f"{LAMM} {line}")
    error = capsys.readouterr().err
    assert line.split()[0] in error
    assert len(error) < 200


@pytest.mark.parametrize("line", [f"{LAMM} --eval-only --model-dir no", f"{LAMM} --resume no"])
def test_a_folder_to_load_from_has_to_be_there(line):
    with pytest.raises(CheckpointError, match="no is not (a folder|there)"):
        plan(line)
