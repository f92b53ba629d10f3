"""`tools/sweep.py`: the whole command, from a grid to the table of its results."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from lamm.commands.parser import run
from lamm.results.schema import RESULTS_FILE, RunResults
from tests.train_command import ROOT, call_tool, command_module

sweep = command_module("sweep")
SMALL = "--trainers ZeroshotCLIP LAMM --datasets digits --shots 1 --seeds 1"
TOY = "tests.sweep.toy_train:train_unless_lamm"
QUICK = "-- OPTIM.MAX_EPOCH 1 TEST.SPLIT val"


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # restored at the end
    return tmp_path


def command(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(sweep.parser(), sweep.main, shlex.split(line))
    return int(stop.value.code or 0)


def test_a_dry_run_shows_the_demo_grid_and_leaves_nothing_behind(capsys: Any, own_folder: Path) -> None:
    assert command("--dry-run") == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1].startswith("240 runs, 0 done, 240 to do: time unknown, ")
    assert [line.split()[:2] for line in lines[2:4]] == [["digits", "ZeroshotCLIP"], ["digits", "CoOp"]]
    assert list(own_folder.iterdir()) == []


def test_a_dry_run_lists_everything_that_is_missing(capsys: Any) -> None:
    assert command("--dry-run --trainers CoOp --datasets caltech101 dtd --shots 1 --seeds 1") == 2
    printed = capsys.readouterr()
    assert "2 runs, 0 done, 2 to do" in printed.out
    problems = printed.err.strip().splitlines()
    assert [line.split(":")[1].strip() for line in problems[:2]] == ["Caltech101", "DescribableTextures"]
    assert problems[2].startswith("error: no weights of ViT-B/16 on this machine")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--datasets caltech101 dtd --shots 1 --seeds 1", "error: no weights of ViT-B/16 on this machine"),
        ("--datasets caltech101 dtd --shots 1 --seeds 1 -- MODEL.BACKBONE.NAME tiny", "Caltech101: the data root"),
        ("--shots 0", "must be a whole number from 1 up, got 0"),
        ("papr", 'unknown grid "papr"; did you mean "paper"'),
        ("none.yaml", "can't read the grid file none.yaml"),
        ("-- OPTIM.LRR 0.1", 'did you mean "OPTIM.LR"'),
        ("-- OPTIM.LR", "come in pairs"),
        ("--address host:1 --jobs 2", "--jobs is for this machine"),
        ("--runs runs.json", "--runs and --run-index go together"),
        ("--trials 3", "unrecognized arguments: --trials"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(line: str, said: str, capsys: Any, own_folder: Path) -> None:
    assert command(line) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not (own_folder / "output").exists()


def test_without_ray_the_command_says_what_to_install(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert command(f"{SMALL} --address local") == 2
    assert 'pip install -e ".[sweep]"' in capsys.readouterr().err


def test_a_grid_is_run_and_skipped_when_it_is_done(capfd: Any, own_folder: Path) -> None:
    """For real, in two processes at once; the table is that of parse_results."""
    assert command(f"--jobs 2 --threads 1 {SMALL} {QUICK}") == 0
    first = capfd.readouterr()
    assert "2 of 2 runs finished" in first.out
    table = first.out[first.out.index("dataset ") :]
    assert len(table.strip().splitlines()) == 4
    folders = sorted(str(file.parent.relative_to(own_folder)) for file in own_folder.rglob(RESULTS_FILE))
    assert folders == [
        "output/digits/shots_1/LAMM/tiny_ep50+MAX_EPOCH=1+SPLIT=val/seed1",
        "output/digits/shots_1/ZeroshotCLIP/tiny+MAX_EPOCH=1+SPLIT=val/seed1",
    ]
    assert call_tool("parse_results", *folders).stdout == table

    stamps = {file: file.stat().st_mtime_ns for file in own_folder.rglob(RESULTS_FILE)}
    assert command(f"{SMALL} {QUICK}") == 0
    again = capfd.readouterr()
    assert again.out[again.out.index("dataset ") :] == table
    assert {file: file.stat().st_mtime_ns for file in stamps} == stamps

    assert command(f"--dry-run {SMALL} {QUICK}") == 0
    assert "2 runs, 2 done, 0 to do" in capfd.readouterr().out

    # Another config in a run's folder, before anything starts.
    lamm = Path(folders[0]).parent
    lamm.rename(str(lamm).replace("MAX_EPOCH=1", "MAX_EPOCH=2"))
    assert command(f"{SMALL} -- OPTIM.MAX_EPOCH 2 TEST.SPLIT val") == 2
    assert "holds a run with another config (OPTIM.MAX_EPOCH: 1 → 2)" in capfd.readouterr().err


@pytest.mark.parametrize("where", ["", "--address local"])
def test_runs_that_fail_are_listed_and_the_others_are_in_the_table(
    where: str, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where:
        pytest.importorskip("ray", reason="Ray is not installed (extra [sweep])")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where Ray's workers look for the stand-in
    monkeypatch.setattr(sweep, "TRAIN", TOY)
    assert command(f"{where} --jobs 1 {SMALL} --retries 0 -- OPTIM.MAX_EPOCH 1") == 1
    printed = capfd.readouterr()
    assert "FAILED: RuntimeError: broken" in printed.out
    assert "1 of 2 runs finished" in printed.out
    assert "50.00" in printed.out[printed.out.index("dataset ") :]
    assert "failed: output/digits/shots_1/LAMM/tiny_ep50+MAX_EPOCH=1/seed1: RuntimeError: broken (see " in printed.err


def test_a_job_array_is_written_and_each_task_carries_out_its_part(
    capfd: Any, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (extra [sweep])")
    monkeypatch.setattr(sweep, "TRAIN", TOY)
    line = "--trainers ZeroshotCLIP CoOp --datasets digits --shots 1 --seeds 1 2 --slurm-tasks 2 --slurm-folder array"
    assert command(f"{line} --slurm-dry-run --slurm-partition gpu") == 0
    printed = capfd.readouterr().out
    assert "4 runs, 0 done, 4 to do" in printed
    assert "2 tasks, 4 runs in array/runs.json, batch script" in printed.replace(f"{own_folder}/", "")
    assert not (own_folder / "output").exists()
    assert command("--runs array/runs.json --run-index 2") == 2
    assert "has 2 parts" in capfd.readouterr().err

    for index in range(2):
        assert command(f"--runs array/runs.json --run-index {index}") == 0
        assert "2 of 2: " in capfd.readouterr().out
    assert len([RunResults.read(file) for file in (own_folder / "output").rglob(RESULTS_FILE)]) == 4


def test_slurm_without_sbatch_writes_the_files_and_says_so(
    capfd: Any, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (extra [sweep])")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert command(f"{SMALL} --slurm {QUICK}") == 2
    said = capfd.readouterr().err
    assert said.startswith("there is no sbatch on this machine; on one of the cluster: sbatch ")
    script = Path(said.strip().rpartition(" ")[2])
    assert script.parents[1] == own_folder / "output" / ".slurm"
    assert os.access(script, os.R_OK)
