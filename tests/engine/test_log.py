"""The log tee: which file, what lands in it, and that the console survives it; running averages."""

import re
import sys

import pytest
import torch

from lamm.engine.embedded.log import Logger, setup_logger
from lamm.engine.embedded.meters import AverageMeter, MetricMeter


@pytest.fixture(autouse=True)
def restored_stdout():
    before = sys.stdout
    yield before
    sys.stdout = before


def test_lines_land_on_the_console_and_at_once_in_the_file(tmp_path, capsys):
    setup_logger(tmp_path / "run")
    print("a line")
    assert (tmp_path / "run" / "log.txt").read_text() == "a line\n"
    assert capsys.readouterr().out == "a line\n"


def test_a_path_with_a_log_suffix_is_the_file_itself(tmp_path):
    setup_logger(tmp_path / "own.log")
    print("here")
    assert (tmp_path / "own.log").read_text() == "here\n"


def test_an_existing_log_is_kept_and_the_new_one_dated(tmp_path):
    (tmp_path / "log.txt").write_text("old\n")
    setup_logger(tmp_path)
    print("new")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == "log.txt"
    assert re.fullmatch(r"log\.txt-\d{4}(-\d\d){5}", names[1])
    assert (tmp_path / "log.txt").read_text() == "old\n"
    assert (tmp_path / names[1]).read_text() == "new\n"


def test_append_continues_an_existing_log(tmp_path):
    (tmp_path / "log.txt").write_text("old\n")
    setup_logger(tmp_path, append=True)
    print("new")
    assert (tmp_path / "log.txt").read_text() == "old\nnew\n"


def test_a_second_log_tees_through_the_first(tmp_path):
    setup_logger(tmp_path / "first")
    setup_logger(tmp_path / "second")
    print("both")
    assert [(tmp_path / name / "log.txt").read_text() for name in ("first", "second")] == ["both\n", "both\n"]


def test_no_output_changes_nothing(restored_stdout):
    setup_logger(None)
    assert sys.stdout is restored_stdout


def test_the_tee_answers_like_its_console_and_closes_only_the_file(tmp_path, restored_stdout):
    tee = Logger(tmp_path / "log.txt")
    assert tee.isatty() == restored_stdout.isatty()
    assert tee.encoding == restored_stdout.encoding
    tee.close()
    tee.write("still here\n")
    tee.flush()
    assert not restored_stdout.closed
    assert (tmp_path / "log.txt").read_text() == ""


def test_the_average_weighs_by_count_and_the_exponential_one_starts_at_zero():
    meter, smooth = AverageMeter(), AverageMeter(ema=True)
    for value, count in ((1.0, 1), (4.0, 2)):
        meter.update(value, count)
        smooth.update(torch.tensor(value))
    assert (meter.val, meter.avg, meter.sum, meter.count) == (4.0, 3.0, 9.0, 3)
    assert smooth.avg == pytest.approx(0.9 * 0.1 + 0.4)


def test_meters_print_value_and_mean_with_four_decimals_in_order():
    meter = MetricMeter()
    meter.update({"loss": 1.0, "acc": torch.tensor(50.0)})
    meter.update(None)
    meter.update({"loss": 2.0, "acc": 100.0})
    assert str(meter) == "loss 2.0000 (1.5000) acc 100.0000 (75.0000)"
    with pytest.raises(TypeError, match="dictionary"):
        meter.update(3.0)
