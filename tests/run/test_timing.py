"""Seconds by part of a run, and the trace of a few steps."""

import json

import pytest
import torch

from lamm.run import timing


def test_time_counts_in_the_innermost_part_alone(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 7.0, 8.0, 10.0])  # begin; enter step, enter text, leave text, leave step; settle
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(now))
    clock = timing.Clock({"text": 100.0})
    with clock.part("step"), clock.part("text"):
        pass
    clock.settle()
    assert clock.seconds == {"text": 104.0, "other": 1.0 + 2.0, "step": 2.0 + 1.0}
    assert clock.line() == "110.0 s: text 104.0, other 3.0, step 3.0"


@pytest.mark.parametrize(("steps", "first", "last"), [(20, 10, 14), (7, 2, 6)])
def test_a_trace_is_of_five_steps_behind_the_first_ones(tmp_path, steps, first, last):
    trace = timing.StepTrace(tmp_path, steps)
    for step in range(steps):
        trace.begin_step()
        with torch.profiler.record_function(f"step {step}"):
            torch.zeros(1)
        trace.end_step()
    events = json.loads((tmp_path / timing.TRACE_FILE).read_text())["traceEvents"]
    names = {event["name"] for event in events if str(event.get("name", "")).startswith("step ")}
    assert names == {f"step {number}" for number in range(first, last + 1)}
