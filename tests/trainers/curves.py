"""How loss curves are compared with those of the slow implementation."""

import pytest

INVERSE_TEMPERATURE = 20.0

Curve = list[dict[str, float]]


def assert_same_curve(got: Curve, expected: Curve) -> None:
    """The same parts, step by step; and the run moved, so that the steps were compared and not only the start."""
    assert len(got) == len(expected)
    for step, reference in zip(got, expected, strict=True):
        assert step.keys() == reference.keys()
        for part, value in reference.items():
            assert step[part] == pytest.approx(value, rel=2e-4, abs=2e-6), part
    assert abs(expected[0]["loss"] - expected[-1]["loss"]) > 1e-3
