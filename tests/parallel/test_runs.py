"""One process and several make the same run of the same batches; how such runs end early, and go on."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import lamm_trainers.base as base
import pytest
import torch

from lamm.checkpoints.label_bank import LabelBank
from lamm.parallel.command import Voice
from tests.parallel.processes import Outcome, Start, losses, metrics
from tests.train_command import ROOT

SHORT = "TRAIN.CHECKPOINT_FREQ 1 OPTIM.MAX_EPOCH 2"
CASES = {
    "LAMM": "",
    # Batches smaller than the number of processes, teacher and loss that depend on batch and context.
    "CoOp_LAMM": "DATALOADER.TRAIN_X.BATCH_SIZE 5 TRAINER.LAMM.TEACHER prompt TRAINER.LAMM.COS_OVER batch",
    "TopLAMM": "INPUT.CACHE_VIEWS 2 DATALOADER.TRAIN_X.BATCH_SIZE 7",
    # Prompts in the image tower, frozen features of the same images, a mean over epochs.
    "PromptSRC_LAMM": "DATALOADER.TRAIN_X.BATCH_SIZE 7 DATALOADER.NUM_WORKERS 1 TRAINER.LAMM.TEACHER prompt",
    "CoCoOp_LAMM": "DATALOADER.TRAIN_X.BATCH_SIZE 3 TEST.SPLIT val",
}


@pytest.mark.parametrize("trainer", CASES)
def test_losses_learned_tensors_and_accuracy_equal_those_of_one_process(start: Start, trainer: str) -> None:
    more = f"--trainer {trainer} --shots 1 {SHORT} {CASES[trainer]}"
    assert [done.code for done in start("one", 1, more)] == [0]
    assert [done.code for done in start("two", 2, more)] == [0, 0]
    expected = losses("one")
    assert len(expected) > 1
    for rank in (0, 1):
        for step, reference in zip(losses("two", rank), expected, strict=True):
            assert step == pytest.approx(reference, rel=1e-5, abs=1e-5)
    assert metrics("two") == pytest.approx(metrics("one"), abs=1e-3)
    ours, theirs = (LabelBank.load(Path(folder, "labels.safetensors")).embeddings for folder in ("two", "one"))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_cached_features_are_encoded_in_shares_and_equal_those_of_one_process(
    start: Start,
) -> None:
    more = f"--trainer LAMM --shots 1 {SHORT} INPUT.CACHE_VIEWS 2 INPUT.CACHE_DIR"
    assert [done.code for done in start("one", 1, f"{more} alone")] == [0]
    assert [done.code for done in start("two", 2, f"{more} together")] == [0, 0]
    assert "Encoding 20 of 20 image views" in Path("two/log.txt").read_text()
    assert [len(list(Path(kept).rglob("*.safetensors"))) for kept in ("alone", "together")] == [2, 2]
    for step, reference in zip(losses("two", 1), losses("one"), strict=True):
        assert step == pytest.approx(reference, rel=1e-5, abs=1e-5)
    assert metrics("two") == pytest.approx(metrics("one"), abs=1e-3)


def files(folder: str) -> list[str]:
    """What is in a folder; an event file's name is cut before its time."""
    paths = (path.relative_to(folder) for path in Path(folder).rglob("*"))
    return sorted(str(path).split(".tfevents.")[0] for path in paths)


def test_the_first_process_alone_writes_and_prints(start: Start) -> None:
    more = f"--trainer MaPLe_LAMM --shots 1 {SHORT} TEST.COMPUTE_CMAT True TEST.FINAL_MODEL best_val"
    _, first, second = (*start("one", 1, more), *start("two", 2, more))
    assert (second.out, second.err) == ("", "")
    assert "2 processes on the CPU (gloo)" in first.out
    assert files("two") == files("one")
    logs = [Path(folder, "log.txt").read_text() for folder in ("one", "two")]
    assert [log.count("* accuracy") for log in logs] == [3, 3]
    said = [line for line in logs[1].splitlines() if line.startswith("epoch")]
    assert len(said) == len(set(said)) > 0


CACHED = "INPUT.CACHE_VIEWS 1 INPUT.CACHE_DIR cache"
TRAINING = f"--trainer LAMM --shots 1 TRAIN.CHECKPOINT_FREQ 1 OPTIM.MAX_EPOCH 4 {CACHED}"


def in_epoch(epoch: int, act: Any) -> None:
    """Have this process act on itself in the first step of an epoch."""
    step = base.PromptTrainer.forward_backward

    def acting(self: Any, batch: Any) -> Any:
        if self.epoch == epoch:
            act()
        return step(self, batch)

    base.PromptTrainer.forward_backward = acting  # type: ignore[method-assign]


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_ends_the_run_with_one_line_and_the_run_can_go_on(start: Start) -> None:
    assert start("whole", 2, TRAINING)[0].code == 0
    first, second = start("broken", 2, TRAINING, lambda rank: in_epoch(2, kill_itself) if rank == 1 else None)
    assert (first.code, second.code) == (2, -signal.SIGKILL)
    assert first.err.splitlines() == [first.err.strip()]
    assert first.err.startswith("error: another process of this run died, or did not answer in time")
    assert "the same command goes on from there" in first.err
    assert not list(Path("broken").rglob("*.tmp"))
    assert len(losses("broken")) == 2
    again = start("broken", 2, TRAINING)
    assert [done.code for done in again] == [0, 0]
    assert "resuming after epoch 2 of 4" in again[0].out
    assert [step["loss"] for step in losses("broken")] == [step["loss"] for step in losses("whole")]
    assert metrics("broken") == pytest.approx(metrics("whole"), abs=1e-3)


def test_one_process_can_go_on_with_what_two_have_begun(start: Start) -> None:
    assert start("whole", 1, TRAINING)[0].code == 0
    start("broken", 2, TRAINING, lambda rank: in_epoch(2, kill_itself) if rank == 0 else None)
    assert start("broken", 1, TRAINING)[0].code == 0
    for step, reference in zip(losses("broken"), losses("whole"), strict=True):
        assert step == pytest.approx(reference, rel=1e-5, abs=1e-5)
    assert metrics("broken") == pytest.approx(metrics("whole"), abs=1e-3)


def test_a_process_that_hangs_is_not_waited_for_for_ever(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMM_PEER_TIMEOUT", "8")  # a busy machine needs seconds to come so far
    first, _ = start("broken", 2, TRAINING, lambda rank: in_epoch(1, lambda: time.sleep(60)) if rank == 1 else None)
    assert first.code == 2
    assert "did not answer in time (LAMM_PEER_TIMEOUT" in first.err


def stopped_in_training(
    start: Start, monkeypatch: pytest.MonkeyPatch, seconds_to_ask: float
) -> tuple[Outcome, Outcome]:
    """A run whose first process gets SIGTERM, and asks that long who is the first to fail."""
    take = Voice.take

    def late(voice: Voice, reason: str) -> bool:
        time.sleep(seconds_to_ask)
        return take(voice, reason)

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    def before(rank: int) -> None:
        if rank == 0:
            monkeypatch.setattr(Voice, "take", late)
            in_epoch(1, stop)

    first, second = start("broken", 2, TRAINING, before)
    return first, second


@pytest.mark.parametrize("seconds_to_ask", [0.0, 1.0])
def test_sigterm_ends_a_process_with_one_line(
    start: Start, seconds_to_ask: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stopped_in_training(start, monkeypatch, seconds_to_ask)
    assert first.code == 128 + signal.SIGTERM
    assert first.err.startswith("error: stopped by SIGTERM")
    assert first.err.count("\n") == 1
    assert (second.code, second.out, second.err) == (1, "", "")


def test_sigterm_ends_a_process_whose_store_does_not_answer(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = stopped_in_training(start, monkeypatch, 60.0)
    assert first.code == 128 + signal.SIGTERM
    assert first.err.startswith("error: stopped by SIGTERM")
    assert first.err.count("\n") == 1


def test_a_mistake_that_all_processes_make_is_told_once(start: Start) -> None:
    done = start("wrong", 2, "--trainer LAMB --shots 1")
    assert sorted(outcome.code for outcome in done) == [1, 2]
    told = "".join(outcome.err for outcome in done)
    assert told.startswith('error: unknown trainer "LAMB"')
    assert told.count("\n") == 1
    assert not Path("wrong").exists()


def test_an_unknown_flag_is_told_once(start: Start) -> None:
    first, second = start("wrong", 2, "--trainer LAMM --shotz 1")
    assert first.err.startswith("error: unrecognized arguments: --shotz")
    assert (first.code, second.code, second.err) == (2, 2, "")


def test_a_trainer_of_others_is_refused(start: Start) -> None:
    toy = f"--import {ROOT}/tests/foreign/coop_style.py --trainer ToyCoOp"
    done = start("wrong", 2, f"{toy} --config-file {ROOT}/configs/trainers/LAMM/tiny_ep50.yaml --shots 1")
    told = "error: trainer ToyCoOp can't share its work among 2 processes: start one (without torchrun)\n"
    assert "".join(outcome.err for outcome in done) == told
