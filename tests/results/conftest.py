"""Runs written to disk as `train.py` and the original CoOp-family code leave them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.results.schema import RunResults

RunWriter = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> RunWriter:
    """A function that writes one run's `results.json` below `tmp_path/output` and returns the seed folder."""

    def write(seed: int = 1, accuracy: float = 60.0, **changes: object) -> Path:
        values: dict = {"dataset": "digits", "shots": 16, "trainer": "LAMM", "cfg": "tiny_ep50", "split": "test"}
        values |= {"protocol": "few_shot", "precision": "fp32", "config_hash": "c0ffee", "status": "finished"}
        values |= {"trainable_parameters": 1280, "seconds_train": 30.0}
        values["metrics"] = {"accuracy": accuracy, "error_rate": 100 - accuracy, "macro_f1": accuracy - 1}
        results = RunResults(**(values | {"seed": seed} | changes))
        parts = (results.dataset, f"shots_{results.shots}", results.trainer, results.cfg, f"seed{results.seed}")
        folder = tmp_path.joinpath("output", *parts)
        results.write(folder / "results.json")
        return folder

    return write


@pytest.fixture
def training_log() -> Callable[..., str]:
    """A function that gives a log of Dassl's from training to the final test, with Dassl's literal lines."""

    def text(accuracy: float, error: float, macro_f1: float, signal: str = "Finish training") -> str:
        progress = (
            "epoch [1/1] batch [5/5] time 0.003 (0.015) data 0.002 (0.002) loss 1.3654 (1.2811) acc 0.0000 (0.0000)"
        )
        return (
            "Loading trainer: CoOp\n"
            "=> result\n* total: 100\n* correct: 1\n* accuracy: 1.0%\n* error: 99.0%\n* macro_f1: 0.5%\n"
            f"{progress} lr 1.0000e-05 eta 0:00:00\n"
            "Checkpoint saved to output/prompt_learner/model.pth.tar-1\n"
            f"{signal}\n"
            "Deploy the last-epoch model\n"
            "Evaluate on the *test* set\n"
            "=> result\n"
            "* total: 2,465\n"
            "* correct: 2,297\n"
            f"* accuracy: {accuracy:.1f}%\n"
            f"* error: {error:.1f}%\n"
            f"* macro_f1: {macro_f1:.1f}%\n"
            "Elapsed: 0:01:23\n"
        )

    return text
