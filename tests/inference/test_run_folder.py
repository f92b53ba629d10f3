"""A run's folder, read back."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lamm_trainers import LAMM, extend_cfg

from lamm.engine import get_cfg_default
from lamm.errors import CheckpointError, ConfigError
from lamm.inference.classifier import RunFolder
from lamm.run.fingerprint import store_config
from lamm.run.record import RunClasses


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
