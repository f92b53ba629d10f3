"""One process and several make the same run of the same batches."""

from pathlib import Path

import pytest
import torch

from lamm.checkpoints.label_bank import LabelBank
from tests.parallel.noted_runs import Start, losses, metrics

SHORT = "TRAIN.CHECKPOINT_FREQ 1 OPTIM.MAX_EPOCH 2"
CASES = {
    "LAMM": "",
    # Batches smaller than the number of processes, teacher and loss that depend on batch and context.
    "CoOp_LAMM": "DATALOADER.TRAIN_X.BATCH_SIZE 5 TRAINER.LAMM.TEACHER prompt TRAINER.LAMM.COS_OVER batch",
    "MaPLe_LAMM": "DATALOADER.TRAIN_X.BATCH_SIZE 7 DATALOADER.NUM_WORKERS 1 TRAINER.LAMM.TEACHER prompt",
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
    assert metrics("two") == metrics("one")
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
    assert metrics("two") == metrics("one")


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
