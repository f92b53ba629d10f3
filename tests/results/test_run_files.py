"""`class_features.safetensors` and `predictions.csv`: written, read, and refused when damaged."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lamm.errors import ResultsError
from lamm.results.run_files import (
    CLASS_FEATURES_FILE,
    ClassFeatures,
    Prediction,
    read_predictions,
    write_predictions,
)

PREDICTIONS = [Prediction('odd, "name"/größe 1.jpg', 0, 0, 0.75), Prediction("b.png", 3, 1, 0.5)]


def features() -> ClassFeatures:
    original = F.normalize(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    return ClassFeatures(["null", "größe"], torch.stack([original[0], -original[1]]), original)


def test_features_are_read_as_they_were_written_in_half_precision(tmp_path: Path) -> None:
    features().save(tmp_path)
    read = ClassFeatures.load(tmp_path)
    assert read is not None
    assert read.class_names == ["null", "größe"]
    assert torch.equal(read.learned, features().learned.half().float())
    assert torch.equal(read.original, features().original.half().float())


def test_an_unmoved_class_moved_by_zero_and_an_opposite_one_by_two() -> None:
    assert features().moved().tolist() == pytest.approx([0, 2], abs=1e-6)


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_predictions(tmp_path, PREDICTIONS)
    assert read_predictions(tmp_path) == PREDICTIONS
    assert [one.right for one in PREDICTIONS] == [True, False]


def test_a_folder_without_the_files_has_none(tmp_path: Path) -> None:
    assert ClassFeatures.load(tmp_path) is None
    assert read_predictions(tmp_path) is None


def test_damaged_features_are_refused(tmp_path: Path) -> None:
    (tmp_path / CLASS_FEATURES_FILE).write_bytes(b"{}")
    with pytest.raises(ResultsError, match="is damaged"):
        ClassFeatures.load(tmp_path)


@pytest.mark.parametrize("content", ["", "image,label,predicted,confidence\na,0,zero,1\n", "\xff\xfe"])
def test_damaged_predictions_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "predictions.csv").write_text(content, encoding="latin-1")
    with pytest.raises(ResultsError, match=r"predictions\.csv is damaged"):
        read_predictions(tmp_path)
