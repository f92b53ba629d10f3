"""Steps of class-incremental learning as runs: where they lie, what they refuse, what they need before them."""

import json
from pathlib import Path

import pytest

from lamm.errors import CheckpointError, ConfigError
from lamm.incremental.plan import earlier_steps, require_earlier_steps, require_split_of_earlier_steps
from lamm.run.fingerprint import config_hash, store_config
from tests.train_command import plan, train

LAMM = "--trainer LAMM --dataset digits --shots 2 --seed 1"
RESULTS = {
    **{"schema_version": 1, "trainer": "LAMM", "dataset": "digits", "shots": 2, "seed": 1, "cfg": "", "protocol": ""},
    **{"split": "test", "metrics": {"accuracy": 1.0, "error_rate": 99.0, "macro_f1": 1.0}, "seconds_train": 1.0},
    **{"trainable_parameters": 1, "peak_memory_mb": 1.0, "precision": "fp32", "versions": {}, "status": "finished"},
}


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def step(number: int, options: str = "") -> str:
    return f"{LAMM} INCREMENTAL.STEPS 2 INCREMENTAL.STEP {number} {options}"


def left_by(line: str, split_hash: str = "a", **changes: object) -> None:
    """What a run of `line` leaves."""
    made = plan(line)
    store_config(made.cfg, made.output_dir)
    content = {**RESULTS, "config_hash": config_hash(made.cfg, split_hash), **changes}
    (made.output_dir / "results.json").write_text(json.dumps(content))


def test_a_step_lies_below_its_seed_and_says_so_in_its_name() -> None:
    made = plan(step(2, "INCREMENTAL.SEEN_AS_NEGATIVES True"))
    cfg = "tiny_ep50+STEPS=2+SEEN_AS_NEGATIVES=True"
    assert made.output_dir == Path(f"output/incremental/digits/shots_2/LAMM/{cfg}/seed1/step2")
    assert (made.protocol, made.cfg_name) == ("incremental", f"{cfg}/step2")


def test_the_steps_before_lie_beside_it() -> None:
    assert earlier_steps("a/b/step3", 3) == [Path("a/b/step1"), Path("a/b/step2")]
    assert earlier_steps("a/b/step1", 1) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{LAMM} INCREMENTAL.STEPS 2", "STEP is 0: it must be from 1 to INCREMENTAL.STEPS, 2"),
        (step(3), "STEP is 3: it must be from 1 to INCREMENTAL.STEPS, 2"),
        (f"{LAMM} INCREMENTAL.STEPS -1", "STEPS must be a whole number from 0 up, got -1"),
        (f"{LAMM} INCREMENTAL.STEP 1", "STEP has no effect without INCREMENTAL.STEPS"),
        (f"{LAMM} INCREMENTAL.SEEN_AS_NEGATIVES True", "SEEN_AS_NEGATIVES has no effect without INCREMENTAL.STEPS"),
        (f"{LAMM} INCREMENTAL.ORDER_SEED 1993", "ORDER_SEED has no effect without INCREMENTAL.STEPS"),
        (f"{LAMM} INCREMENTAL.FIRST 5", "FIRST has no effect without INCREMENTAL.STEPS"),
        (step(1, "DATASET.SUBSAMPLE_CLASSES base"), "leave DATASET.SUBSAMPLE_CLASSES base out"),
        (f"--eval-only {step(1)}", "--eval-only does not go with INCREMENTAL.STEPS"),
    ],
)
def test_what_can_be_no_step_is_refused(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(line)


def test_a_trainer_that_does_not_say_it_learns_in_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import lamm_trainers

    monkeypatch.setattr(lamm_trainers.LAMM, "learns_in_steps", False)
    with pytest.raises(ConfigError, match="trainer LAMM can't learn classes step by step"):
        plan(step(1))


def test_a_finished_step_of_the_same_experiment_is_what_the_next_one_needs() -> None:
    left_by(step(1, "OPTIM.LR 0.1"))
    cfg = plan(step(2, "OPTIM.LR 0.1")).cfg
    require_earlier_steps(cfg)
    require_split_of_earlier_steps(cfg, "a")


def test_a_step_that_is_missing_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"step 1 is missing \(can't read .*seed1/step1/results\.json"):
        require_earlier_steps(plan(step(2)).cfg)


def test_a_step_that_is_unfinished_is_named() -> None:
    left_by(step(1), status="running", metrics={})
    with pytest.raises(CheckpointError, match=r"step 1 at .*seed1/step1 is unfinished: start it again"):
        require_earlier_steps(plan(step(2)).cfg)


def test_a_step_with_another_config_is_refused() -> None:
    folder = "--output-dir here/step{} --trainer LAMM --dataset digits --shots 2 --seed 1 INCREMENTAL.STEPS 2"
    left_by(f"{folder.format(1)} INCREMENTAL.STEP 1 OPTIM.LR 0.1")
    with pytest.raises(ConfigError, match=r"step 1 at here/step1 has another config \(OPTIM\.LR: 0\.1 → 0\.2\)"):
        require_earlier_steps(plan(f"{folder.format(2)} INCREMENTAL.STEP 2 OPTIM.LR 0.2").cfg)


def test_a_step_on_another_split_is_refused() -> None:
    left_by(step(1), split_hash="a")
    with pytest.raises(ConfigError, match="step 1 at .* was trained on another split"):
        require_split_of_earlier_steps(plan(step(2)).cfg, "b")


def test_a_run_without_the_step_before_ends_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    done = train(step(2))
    assert done.code == 2
    assert done.err.startswith("error: step 1 is missing")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "output").exists()
