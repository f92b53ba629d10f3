"""The suite for a GPU: what fits the time, what fails, its files, and a trial of all of it on the CPU."""

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lamm.benchmark import suite
from lamm.benchmark.gpu import OnRandomFeatures, TimeIsUp, distances, values_of
from lamm.benchmark.measure import peak_megabytes
from lamm.benchmark.steps import TrainingStep
from lamm.benchmark.suite import MEASURED, NO_TIME, STOPPED, WAITING, Part, Report, expected_seconds, run_parts
from lamm.clip.model import ClipModel
from tests.train_command import call_tool
from tests.trainers.learner_cases import lamm

CPU = torch.device("cpu")


class Clock:
    """Seconds that pass only where a part says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def part(self, name: str, seconds: float, work: float = 1, kind: str = "step") -> Part:
        def measure(_: float) -> list[dict[str, object]]:
            self.now += seconds
            return [{"seconds": seconds}]

        return Part(kind, name, work, measure)


def test_what_does_not_fit_the_time_is_left_out_and_what_fits_is_measured() -> None:
    clock = Clock()
    parts = [clock.part("small", 10, 100), clock.part("large", 90, 1000), clock.part("other", 12, 100)]
    parts += [clock.part("unknown", 70, kind="training"), clock.part("late", 1, kind="equality")]
    told: list[str] = []
    run_parts(parts, 92, lambda part: told.append(part.name), clock)
    # 1000 classes are expected to take 10 times 10 seconds; 82 are left. What nothing is known about is tried.
    assert [part.status for part in parts] == [MEASURED, NO_TIME, MEASURED, MEASURED, NO_TIME]
    assert [part.seconds for part in parts] == [10, 0, 12, 70, 0]
    assert [bool(part.rows) for part in parts] == [True, False, True, True, False]
    assert told == [part.name for part in parts]


def test_the_expected_time_is_that_of_the_part_with_the_most_similar_work() -> None:
    clock = Clock()
    earlier = [clock.part("a", 0, 100), clock.part("b", 0, 1000), clock.part("c", 0, 100, "equality")]
    for part, seconds in zip(earlier, (10, 40, 7), strict=True):
        part.status, part.seconds = MEASURED, seconds
    assert expected_seconds(clock.part("d", 0, 1000), earlier) == 40
    assert expected_seconds(clock.part("e", 0, 50), earlier) == 5
    earlier[1].status = "failed: no memory"
    assert expected_seconds(clock.part("f", 0, 1000), earlier) == 100
    assert expected_seconds(clock.part("g", 0, 0), earlier) == 0


def test_a_part_that_fails_is_a_line_and_the_next_one_goes_on() -> None:
    def fail(_: float) -> list[dict[str, object]]:
        raise RuntimeError("CUDA out of memory\x1b[31m.\nTried to allocate")

    parts = [Part("step", "too much", 1, fail), Clock().part("next", 1)]
    run_parts(parts, 100, lambda _: None)
    assert [part.status for part in parts] == ["failed: RuntimeError: CUDA out of memory\\x1b[31m.", MEASURED]


def test_a_part_that_takes_longer_than_expected_is_stopped_when_the_time_is_up() -> None:
    def slow(_: float) -> list[dict[str, object]]:
        time.sleep(20)
        return [{"seconds": 20}]

    parts = [Part("step", "slow", 1, slow), Clock().part("next", 1)]
    began = time.monotonic()
    run_parts(parts, 0.1, lambda _: None)
    assert time.monotonic() - began < 5
    assert [(part.status, part.rows) for part in parts] == [(STOPPED, []), (NO_TIME, [])]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_was_measured_before_a_kill_is_in_both_files(tmp_path: Path) -> None:
    def kill(_: float) -> list[dict[str, object]]:
        raise KeyboardInterrupt

    row = {"trainer": "LAMM", "classes": 3, "precision": "fp32", "text_difference": 0.25}
    parts = [Part("equality", "LAMM", 1, lambda _: [row]), Part("step", "killed", 1, kill)]
    report = Report(tmp_path / "new" / "folder", CPU, {})
    with pytest.raises(KeyboardInterrupt):
        run_parts(parts, 100, lambda _: report.write(parts))
    saved = json.loads(report.json.read_text())
    assert [part["status"] for part in saved["parts"]] == [MEASURED, WAITING]
    assert saved["parts"][0]["rows"] == [row]
    assert "0.2500" in report.page.read_text()


def test_the_page_escapes_what_it_shows_and_needs_nothing_beside_it(tmp_path: Path) -> None:
    part = Part("step", "<script>alert(1)</script>", 1, lambda _: [], "failed: <b>&")
    report = Report(tmp_path, CPU, {"backbone": "<i>tiny"})
    report.write([part])
    page = report.page.read_text()
    assert "&lt;script&gt;" in page
    assert "failed: &lt;b&gt;&amp;" in page
    assert "&lt;i&gt;tiny" in page
    assert not re.search("<script|<b>|<i>|https?:|src=|href=|url\\(", page)
    assert "<title>LAMM on a CPU: " in page  # nobody takes it for a GPU's


def test_distances_are_absolute_of_features_and_relative_of_loss_and_gradient() -> None:
    expected = {
        "text": torch.eye(2, dtype=torch.float64),
        "image": torch.tensor([[1.0, 0.0]]),
        "loss": torch.tensor(4.0),
        "gradient": torch.tensor([3.0, 4.0]),
    }
    values = {
        "text": torch.tensor([[0.6, 0.8], [0.0, 1.0]], dtype=torch.float64),
        "image": torch.tensor([[1.0, 0.5]]),
        "loss": torch.tensor(5.0),
        "gradient": torch.tensor([3.0, 4.5]),
    }
    away = distances(values, expected)
    assert away["text_difference"] == pytest.approx(0.8)
    assert away["image_difference"] == pytest.approx(0.5)
    assert away["loss_difference"] == pytest.approx(0.25)
    assert away["gradient_difference"] == pytest.approx(0.1)
    assert away["text_cosine"] == pytest.approx(0.6)
    assert away["image_cosine"] == pytest.approx(1.25**-0.5)
    assert away["gradient_cosine"] == pytest.approx(27 / 5 / (9 + 4.5**2) ** 0.5)


def test_the_scale_of_the_loss_under_amp_is_not_in_the_gradient(
    small_clip: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_clip, "precision", small_clip.precision)  # other tests have the same model
    gradients = []
    for precision in ("bf16", "amp"):  # the same on a CPU
        learner = lamm(small_clip)
        with torch.no_grad():
            learner.label_embeddings.mul_(1.1)
        step = TrainingStep(learner, torch.optim.SGD(learner.parameters(), lr=0.1), 4, precision)
        gradients.append(values_of(step)["gradient"])
    torch.testing.assert_close(*gradients)


def test_memory_on_a_gpu_is_what_its_allocator_counts_beyond_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counter(name: str, value: int) -> Callable[[torch.device], int]:
        return lambda _: calls.append(name) or value  # type: ignore[func-returns-value]

    for name, value in (("memory_allocated", 3), ("max_memory_allocated", 10)):
        monkeypatch.setattr(torch.cuda, name, counter(name, value * 2**20))
    for name in ("reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, counter(name, 0))
    assert peak_megabytes(lambda: calls.append("call"), torch.device("cuda")) == 7
    assert calls.index("reset_peak_memory_stats") < calls.index("call") < calls.index("max_memory_allocated")
    assert calls[calls.index("call") + 1] == "synchronize"


def test_a_training_stops_before_the_first_step_after_its_time() -> None:
    class Trainer:
        device, taken = CPU, 0

        def forward_backward(self, batch: dict[str, object]) -> dict[str, object]:
            self.taken += 1
            return {}

    of_class = {"deadline": time.perf_counter() - 1, "step_starts": []}
    trainer = type("Stopping", (OnRandomFeatures, Trainer), of_class)()
    for _ in range(3):
        trainer.forward_backward({})
    with pytest.raises(TimeIsUp):
        trainer.forward_backward({})
    assert trainer.taken == 3  # two to warm up, and one that is timed, even where the time was up before
    assert len(trainer.step_starts) == 4


def test_the_whole_suite_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = "--suite gpu --minutes 5 --backbone tiny --trainers LAMM --classes 3 --precision bf16 --shots 32 --epochs 2"
    done = call_tool("benchmark", *line.split(), "--output", "out")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(Path("out/gpu.json").read_text())
    parts = {part["name"]: part for part in report["parts"]}
    assert {name: part["status"] for name, part in parts.items()} == dict.fromkeys(
        (
            "LAMM",
            "LAMM, 3 classes, bf16",
            "LAMM, 3 classes, bf16, cached features",
            "LAMM, 3 classes of 32 images, 2 epochs",
        ),
        MEASURED,
    )
    equality, encoded, cached, training = (part["rows"][0] for part in parts.values())
    assert 0 < equality["text_difference"] < 0.02  # bf16 beside fp32
    assert 0.98 < equality["gradient_cosine"] < 1
    assert (encoded["cached"], cached["cached"]) == (False, True)
    assert min(row["queued_s"] for row in (encoded, cached)) > 0
    assert (training["images"], training["epochs_done"], training["extrapolated"]) == (96, 2, False)
    assert training["seconds"] > 5 * training["step_s"] > 0  # 6 steps
    assert training["process_peak_mb"] > 50
    page = Path("out/gpu.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert all(heading in page for heading, *_ in suite.KINDS.values())
    assert "Nothing was measured" not in page
    assert [path.name for path in Path("out").iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--suite cpu", "--suite"),
        ("--suite gpu --minutes 0", "--minutes: must be a number from 0.1"),
        ("--suite gpu --minutes -3", "--minutes"),
        ("--suite gpu --trainers LAM", 'did you mean "LAMM"'),
        ("--suite gpu --backbone ViT-B/61", "unknown backbone"),
        ("--suite gpu --json rows.json", "--json"),
        ("--suite gpu --output theirs", "gpu.json exists and is not a file of this command"),
        ("--suite gpu --output theirs/gpu.json", "is a file"),
        ("--suite gpu --top", "not allowed with"),
    ],
)
def test_a_mistake_is_one_line(line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theirs").mkdir()
    Path("theirs/gpu.json").write_text('{"mine": 1}')
    done = call_tool("benchmark", *line.split())
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert Path("theirs/gpu.json").read_text() == '{"mine": 1}'
