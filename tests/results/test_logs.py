"""Logs of Dassl are read by the rule of the CoOp family's own parser."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.results.unrecorded import log_files, newest_result, read_log

Log = Callable[..., str]
EVALUATION = "Evaluate on the *val* set\n=> result\n* total: 10\n* accuracy: 36.4%\n* error: 63.6%\n* macro_f1: 33.3%\n"


def original_parser(text: str, end_signal: str) -> dict[str, float]:
    """The original's rule: after a line equal to the signal, the last match of each expression."""
    found, good_to_go = {}, False
    for line in text.splitlines():
        if line.strip() == end_signal:
            good_to_go = True
        for name in ("accuracy", "error", "macro_f1"):
            match = re.search(rf"\* {name}: ([\.\deE+-]+)%", line)
            if match and good_to_go:
                found[name] = float(match.group(1))
    return found


def saved(folder: Path, text: str, name: str = "log.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("signal", ["Finish training", "Finished training"])
def test_the_result_after_training_counts(tmp_path: Path, training_log: Log, signal: str) -> None:
    result = read_log(saved(tmp_path, training_log(93.2, 6.8, 90.1, signal)))
    assert result is not None
    assert result.metrics == {"accuracy": 93.2, "error_rate": 6.8, "macro_f1": 90.1}


def test_what_it_reads_is_what_the_original_parser_reads(tmp_path: Path, training_log: Log) -> None:
    text = training_log(93.2, 6.8, 90.1)
    result = read_log(saved(tmp_path, text))
    theirs = original_parser(text, "Finish training")
    assert result is not None
    assert list(result.metrics.values()) == list(theirs.values()) == [93.2, 6.8, 90.1]


def test_a_log_that_stops_before_the_end_of_training_has_no_result(tmp_path: Path, training_log: Log) -> None:
    begun = training_log(93.2, 6.8, 90.1).split("Finish training")[0]
    assert "accuracy" in begun
    assert read_log(saved(tmp_path, begun)) is None


def test_a_signal_within_a_longer_line_does_not_count(tmp_path: Path, training_log: Log) -> None:
    assert read_log(saved(tmp_path, training_log(93.2, 6.8, 90.1, "Will Finish training soon"))) is None


def test_an_evaluation_alone_counts_only_when_asked(tmp_path: Path) -> None:
    file = saved(tmp_path, EVALUATION)
    assert read_log(file) is None
    result = read_log(file, test_log=True)
    assert result is not None
    assert result.metrics == {"accuracy": 36.4, "error_rate": 63.6, "macro_f1": 33.3}
    assert result.split == "val"


def test_exponents_are_numbers_and_stray_signs_are_not(tmp_path: Path) -> None:
    result = read_log(saved(tmp_path, "Finish training\n* accuracy: 1e-02%\n* error: +-%\n"))
    assert result is not None
    assert result.metrics == {"accuracy": 0.01}


def test_the_newest_finished_log_wins(tmp_path: Path, training_log: Log) -> None:
    saved(tmp_path, training_log(10.0, 90.0, 9.0))
    saved(tmp_path, training_log(30.0, 70.0, 29.0), "log.txt-2026-11-23-06-34-57")
    saved(tmp_path, training_log(20.0, 80.0, 19.0), "log.txt-2026-11-22-06-34-57")
    saved(tmp_path, "Loading trainer: CoOp\n", "log.txt-2026-11-24-00-00-00")
    saved(tmp_path, training_log(99.0, 1.0, 98.0), "log.txt.bak")
    result = newest_result(tmp_path)
    assert result is not None
    assert result.metrics["accuracy"] == 30.0
    assert [file.name[-19:] for file in log_files(tmp_path)][:2] == ["2026-11-24-00-00-00", "2026-11-23-06-34-57"]


def test_bytes_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"\xff\xfe\x00\nFinish training\n* accuracy: 5.0%\n")
    result = read_log(tmp_path / "log.txt")
    assert result is not None
    assert result.metrics == {"accuracy": 5.0}
