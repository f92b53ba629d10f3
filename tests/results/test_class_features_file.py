"""`class_features.safetensors`: written, read, and refused when damaged."""

import pytest
import torch
import torch.nn.functional as F

from lamm.errors import ResultsError
from lamm.results.run_files import CLASS_FEATURES_FILE, ClassFeatures


def features(names=("null", "größe")):
    original = F.normalize(torch.randn(len(names), 8, generator=torch.Generator().manual_seed(0)), dim=1)
    learned = torch.stack([original[0], -original[1]])
    return ClassFeatures(list(names), learned, original)


def test_what_was_written_is_read_in_half_precision(tmp_path):
    features().save(tmp_path)
    read = ClassFeatures.load(tmp_path)
    assert read.class_names == ["null", "größe"]
    assert torch.equal(read.learned, features().learned.half().float())
    assert torch.equal(read.original, features().original.half().float())


def test_an_unmoved_class_moved_by_zero_and_an_opposite_one_by_two():
    assert features().moved().tolist() == pytest.approx([0, 2], abs=1e-6)


def test_a_folder_without_the_file_has_none(tmp_path):
    assert ClassFeatures.load(tmp_path) is None


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / CLASS_FEATURES_FILE).write_bytes(b"{}")
    with pytest.raises(ResultsError, match="is damaged"):
        ClassFeatures.load(tmp_path)
