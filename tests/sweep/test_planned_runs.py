"""`lamm.sweep.runs`: each run of a grid is a line of train.py, and train.py understands it the same way."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import lamm_trainers
import pytest

from lamm.errors import ConfigError
from lamm.run.fingerprint import config_hash
from lamm.sweep.grid import Grid, read_grid
from lamm.sweep.runs import Places, PlannedRun, planned_runs
from tests.sweep.test_grid import SWEEPS
from tests.train_command import plan

GRID = Grid(("LAMM",), ("digits",), (2,), (1,))


def planned(grid: Grid, folder: Path = Path("data"), **places: Any) -> list[PlannedRun]:
    return planned_runs(grid, Places(folder, **{"output": Path("output"), **places}), lamm_trainers.extend_cfg)


def test_a_run_lies_where_a_single_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (run,) = planned(replace(GRID, last={"TRAINER.LAMM.LAMBDA_KD": "0.1"}))
    single = plan("--trainer LAMM --dataset digits --shots 2 --seed 1 --root data TRAINER.LAMM.LAMBDA_KD 0.1")
    assert run.folder == single.output_dir == Path("output/digits/shots_2/LAMM/tiny_ep50+LAMBDA_KD=0.1/seed1")
    assert run.plan.output_dir == tmp_path / run.folder
    assert config_hash(run.plan.cfg, "split") == config_hash(single.cfg, "split")


def test_train_py_plans_the_words_as_the_sweep_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any working directory: all paths among the words are absolute."""
    (run,) = planned(replace(GRID, trainers=("LAMM/tiny_ep50_released",)), output=tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    again = plan(shlex.join(run.words))
    assert again.cfg == run.plan.cfg
    assert (again.trainer, again.dataset, again.cfg_name) == ("LAMM", "digits", "tiny_ep50_released")
    assert again.output_dir == tmp_path / "out/digits/shots_2/LAMM/tiny_ep50_released/seed1"


def test_variants_have_folders_and_names_of_their_own() -> None:
    grid = replace(GRID, variants={"all": {}, "ce": {"TRAINER.LAMM.HIERARCHICAL_LOSS": "False"}})
    assert [(run.method, run.folder.parts[-2]) for run in planned(grid)] == [
        ("LAMM (all)", "tiny_ep50"),
        ("LAMM (ce)", "tiny_ep50+HIERARCHICAL_LOSS=False"),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainers": ("LAM",)}, 'unknown trainer "LAM"; did you mean "LAMM"'),
        ({"trainers": ("LAM/tiny",)}, 'unknown trainer "LAM"'),
        ({"trainers": ("LAMM/tiny_ep5",)}, 'unknown config of LAMM "tiny_ep5"; did you mean "tiny_ep50"'),
        ({"datasets": ("digts",)}, 'unknown data set "digts"; did you mean "digits"'),
        ({"seeds": (1, 1)}, "names output/digits/shots_2/LAMM/tiny_ep50/seed1 twice"),
        ({"last": {"OPTIM.LRR": "1"}}, 'did you mean "OPTIM.LR"'),
        ({"last": {"SEED": "1"}}, "SEED is set twice"),
        ({"last": {"OUTPUT_DIR": "elsewhere"}}, "OUTPUT_DIR can't be set for a grid"),
    ],
)
def test_a_mistake_in_any_run_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planned(replace(GRID, **changes))


@pytest.mark.parametrize("name", sorted(file.stem for file in SWEEPS.glob("*.yaml")))
def test_the_grids_of_the_project_can_be_planned(name: str) -> None:
    grid = replace(read_grid(SWEEPS / f"{name}.yaml"), shots=(16,), seeds=(1,))
    runs = planned(grid)
    assert len(runs) == len(grid.variants) * len(grid.datasets) * len(grid.trainers)
    backbones = {"demo": {"tiny"}, "paper_backbones": {"RN50", "RN101", "ViT-B/32", "ViT-B/16"}}
    assert {run.plan.cfg.MODEL.BACKBONE.NAME for run in runs} == backbones.get(name, {"ViT-B/16"})
