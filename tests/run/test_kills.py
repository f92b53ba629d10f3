"""Runs that are killed and started again end as runs that nobody disturbs (`python -m tests.run.kills`)."""

import os
import subprocess
import sys

import pytest

from tests.train_command import ROOT


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_and_started_again_ends_as_an_undisturbed_one(kills: int) -> None:
    command = [sys.executable, "-m", "tests.run.kills", "--kills", str(kills)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
