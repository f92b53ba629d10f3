"""`lamm.sweep.slurm` and `run_list`: a job array that can be read, and carried out without Slurm."""

import json
import os
from pathlib import Path

import pytest

from lamm.errors import ConfigError
from lamm.sweep.estimate import Job
from lamm.sweep.slurm import RunList, SlurmSettings, in_parts, submit, write_array
from tests.sweep.toy_jobs import toy_job, toy_setup

COMMAND = "/checkout/tools/sweep.py"


@pytest.fixture
def runs(tmp_path: Path) -> RunList:
    jobs = [toy_job(tmp_path / f"run{number}", seconds=600.0 * (number + 1)) for number in range(5)]
    return RunList(toy_setup(tmp_path, threads=4), at_once=2, retries=3, parts=in_parts(jobs, 2))


@pytest.fixture
def submitit() -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (extra [sweep])")


def put_in_path(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name that comes before all others."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_runs_are_dealt_out_so_that_parts_are_alike(runs: RunList) -> None:
    assert [[job.folder for job in part] for part in runs.parts] == [["run4", "run2", "run0"], ["run3", "run1"]]
    assert runs.seconds == 600.0 * 9 / 2
    assert in_parts(runs.parts[0], 10) == tuple((job,) for job in runs.parts[0])


def test_a_list_of_runs_is_what_was_written(runs: RunList, tmp_path: Path) -> None:
    runs.write(tmp_path / "runs.json")
    assert RunList.read(tmp_path / "runs.json") == runs
    first = json.loads((tmp_path / "runs.json").read_text(encoding="utf-8"))["parts"][0][0]
    assert first["words"] == list(runs.parts[0][0].words)


@pytest.mark.parametrize("text", ["", "[]", '{"setup": {}}', '{"setup": {"modules": []}, "parts": []}'])
def test_what_is_no_list_of_runs_is_a_mistake(text: str, tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="is no list of runs: give the runs"):
        RunList.read(tmp_path / "runs.json")


def test_a_missing_list_of_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read the list of runs .*none\.json: No such file"):
        RunList.read(tmp_path / "none.json")


def test_a_job_is_the_same_from_json() -> None:
    job = Job(("--seed", "1"), "a", "/a", "LAMM", "digits", 1.5, 2.5)
    assert Job.from_dict(json.loads(json.dumps(job.as_dict()))) == job


def test_the_script_says_everything_that_a_task_asks_for(submitit: None, runs: RunList, tmp_path: Path) -> None:
    settings = SlurmSettings("gpu", None, gpus=1, parallel=16, further={"account": "vision", "mem": "24G"})
    script = write_array(tmp_path / "array", runs, COMMAND, settings)
    text = script.read_text(encoding="utf-8")
    for flag in (
        "--array=0-1%2",
        "--partition=gpu",
        "--gpus-per-node=1",
        "--cpus-per-task=8",  # two runs with four threads
        "--time=135",  # three times 45 minutes
        "--account=vision",
        "--mem=24G",
        "--requeue",
        f"--output={tmp_path}/array/%A_%a_0_log.out",
    ):
        assert f"#SBATCH {flag}\n" in text, flag
    *_, command = text.strip().splitlines()
    assert command.startswith("srun ")
    assert command.endswith(f'{COMMAND} --runs {tmp_path}/array/runs.json --run-index "$SLURM_ARRAY_TASK_ID"')
    assert RunList.read(tmp_path / "array" / "runs.json") == runs


def test_a_limit_that_the_user_gives_counts(submitit: None, runs: RunList, tmp_path: Path) -> None:
    text = write_array(tmp_path, runs, COMMAND, SlurmSettings(minutes=20, gpus=0)).read_text(encoding="utf-8")
    assert "#SBATCH --time=20\n" in text
    assert "gpus" not in text
    assert "partition" not in text


def test_submitting_gives_the_jobs_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_path(tmp_path / "bin", "sbatch", 'echo "$@" > "$(dirname "$0")/asked"; echo "4711;cluster"', monkeypatch)
    assert submit(tmp_path / "submit.sh") == "4711"
    assert (tmp_path / "bin" / "asked").read_text().split() == ["--parsable", str(tmp_path / "submit.sh")]


def test_what_slurm_refuses_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_path(tmp_path / "bin", "sbatch", "echo 'invalid partition' >&2; exit 1", monkeypatch)
    with pytest.raises(ConfigError, match=r"sbatch refuses .*submit\.sh: invalid partition"):
        submit(tmp_path / "submit.sh")


def test_without_slurm_there_is_nothing_to_submit_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no sbatch on this machine"):
        submit(tmp_path / "submit.sh")
