"""Runs that are killed and started again end as runs that nobody disturbs (`python -m tests.run.kills`)."""

import os
import subprocess
import sys

from tests.train_command import ROOT


def test_a_run_that_is_killed_and_started_again_ends_as_an_undisturbed_one() -> None:
    command = [sys.executable, "-m", "tests.run.kills", "--kills", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
