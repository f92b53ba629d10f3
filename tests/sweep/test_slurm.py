"""`lamm.sweep.slurm`: a job array that can be read, and carried out without Slurm."""

import json
import os
from pathlib import Path

import pytest

from lamm.errors import ConfigError
from lamm.sweep.slurm import RunList, submit, write_array
from tests.sweep.toy_runs import TOY, toy_run


def run_list(folder: Path, *seconds: float | None) -> RunList:
    """Two parts that take turns."""
    runs = [toy_run(folder / f"run{number}", seconds=value) for number, value in enumerate(seconds)]
    return RunList(TOY, str(folder), threads=4, at_once=2, retries=3, parts=[runs[::2], runs[1::2]])


@pytest.fixture
def runs(tmp_path: Path) -> RunList:
    return run_list(tmp_path, 3000.0, 2400.0, 1800.0, 1200.0, 600.0)


@pytest.fixture
def submitit() -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (extra [sweep])")


def put_in_path(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name that comes before all others."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def as_dicts(runs: RunList) -> dict[str, object]:
    return {**vars(runs), "parts": [[vars(run) for run in part] for part in runs.parts]}


def test_a_list_of_runs_is_read_as_it_was_written(runs: RunList, tmp_path: Path) -> None:
    runs.write(tmp_path / "runs.json")
    assert as_dicts(RunList.read(tmp_path / "runs.json")) == as_dicts(runs)
    first = json.loads((tmp_path / "runs.json").read_text(encoding="utf-8"))["parts"][0][0]
    assert first["words"] == list(runs.parts[0][0].words)


@pytest.mark.parametrize("text", ["", "[]", '{"parts": []}', '{"parts": [[{"words": []}]]}'])
def test_what_is_not_a_list_of_runs_is_a_mistake(text: str, tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="is not a list of runs"):
        RunList.read(tmp_path / "runs.json")


def test_a_missing_list_of_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: No such file"):
        RunList.read(tmp_path / "none.json")


def test_the_script_says_everything_that_a_task_asks_for(submitit: None, runs: RunList, tmp_path: Path) -> None:
    further = {"account": "vision", "mem": "24G"}
    script = write_array(tmp_path / "array", runs, partition="gpu", parallel=16, further=further)
    text = script.read_text(encoding="utf-8")
    for flag in (
        "--array=0-1%2",
        "--partition=gpu",
        "--gpus-per-node=1",
        "--cpus-per-task=8",  # two runs with four threads
        "--time=150",  # three times 50 minutes, the longest run of the longest part
        "--account=vision",
        "--mem=24G",
        "--requeue",
        f"--output={tmp_path}/array/%A_%a_0_log.out",
    ):
        assert f"#SBATCH {flag}\n" in text, flag
    *_, command = text.strip().splitlines()
    assert command.startswith("srun ")
    words = f"-m lamm.commands sweep --runs {tmp_path}/array/runs.json --run-index"
    assert command.endswith(f'{words} "$SLURM_ARRAY_TASK_ID"')
    assert as_dicts(RunList.read(tmp_path / "array" / "runs.json")) == as_dicts(runs)


def test_a_limit_that_the_user_gives_counts(submitit: None, runs: RunList, tmp_path: Path) -> None:
    text = write_array(tmp_path, runs, minutes=20, gpus=0).read_text(encoding="utf-8")
    assert "#SBATCH --time=20\n" in text
    assert "gpus" not in text
    assert "partition" not in text


def test_the_limit_is_half_an_hour_at_least_and_the_cluster_s_where_a_time_is_unknown(
    submitit: None, tmp_path: Path
) -> None:
    assert "#SBATCH --time=30\n" in write_array(tmp_path, run_list(tmp_path, 1.0, 2.0)).read_text(encoding="utf-8")
    assert "--time" not in write_array(tmp_path, run_list(tmp_path, 1.0, None)).read_text(encoding="utf-8")


def test_submitting_gives_the_job_s_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_path(tmp_path / "bin", "sbatch", 'echo "$@" > "$(dirname "$0")/asked"; echo "4711;cluster"', monkeypatch)
    assert submit(tmp_path / "submit.sh") == "4711"
    assert (tmp_path / "bin" / "asked").read_text().split() == ["--parsable", str(tmp_path / "submit.sh")]


def test_what_slurm_refuses_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_path(tmp_path / "bin", "sbatch", "echo 'invalid partition' >&2; exit 1", monkeypatch)
    with pytest.raises(ConfigError, match=r"submit\.sh: invalid partition"):
        submit(tmp_path / "submit.sh")
