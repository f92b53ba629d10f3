"""What a run says of its result."""

import pytest

from lamm.run.execute import doubts

NAMES = ["cat", "dog", "owl"]


def predicted(labels: list[int], classes: list[int]) -> list[tuple[int, int, float]]:
    return [(label, one, 0.9) for label, one in zip(labels, classes, strict=True)]


def test_one_class_for_nearly_all_images_is_told_by_its_name():
    [line] = doubts(predicted([0, 1, 2] * 10, [1] * 29 + [2]), NAMES, 33.0, None)
    assert line.startswith('97% of the images are predicted as "dog", though 33% show it')


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([0, 1, 2] * 10, [0, 1, 2] * 10), ([1] * 30, [1] * 30), ([0] + [1] * 29, [1] * 30), ([], [])],
)
def test_predictions_that_are_as_mixed_as_the_images_are_no_doubt(labels, classes):
    assert doubts(predicted(labels, classes), NAMES, 90.0, 80.0) == []


def test_a_result_below_zero_shot_is_told():
    [line] = doubts([], NAMES, 79.9, 80.0)
    assert "worse than zero-shot" in line
