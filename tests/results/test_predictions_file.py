"""`predictions.csv`: written, read, and refused when damaged."""

import pytest

from lamm.errors import ResultsError
from lamm.results.run_files import Prediction, read_predictions, write_predictions

SAID = [Prediction('odd, "name"/größe 1.jpg', 0, 0, 0.75), Prediction("b.png", 3, 1, 0.5)]


def test_what_was_written_is_read(tmp_path):
    write_predictions(tmp_path, SAID)
    assert read_predictions(tmp_path) == SAID
    assert [one.right for one in SAID] == [True, False]


def test_a_folder_without_the_file_has_none(tmp_path):
    assert read_predictions(tmp_path) is None


@pytest.mark.parametrize("content", ["", "image,label\n", "image,label,predicted,confidence\na,0,zero,1\n", "\xff\xfe"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "predictions.csv").write_text(content, encoding="latin-1")
    with pytest.raises(ResultsError, match=r"predictions\.csv is damaged"):
        read_predictions(tmp_path)
