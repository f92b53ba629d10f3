"""The page of classifier files: what they hold is on it, escaped; mistakes are one line."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lamm.estimator.file import Confidence, Knowledge, Origin, no_photos
from lamm.report.classifier_file import class_table
from tests.train_command import call_tool

NAMES = ["<b>pear</b>", "plum", "apple"]


def knowledge() -> Knowledge:
    """Three classes, of which the first was renamed and the last came after the confidence was measured."""
    text = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.5]]), dim=1)
    return Knowledge(
        trainer="LAMM_GDA",
        settings={},
        backbone={
            **{"name": "tiny", "weights": "ab" * 32, "precision": "fp32", "image_size": 32, "embedding_size": 2},
            "licence_of_weights": "MIT & more",
        },
        names=NAMES,
        words=["quince", *NAMES[1:]],
        origins=[Origin("fit", "2026-01-02", 5), Origin("fit", "2026-01-02", 7), Origin("add", "2026-03-04", 3)],
        learned={},
        extra={},
        text=text,
        statistics=None,
        views=1,
        photos=[no_photos(), no_photos(), torch.zeros(4, 8, dtype=torch.uint8)],
        confidence=Confidence(0.5, 2.0, 0.95, 12, 1.5, 9.25, 81.25, (NAMES[0], NAMES[1])),
        accuracy={"ZeroshotCLIP": 40.0, "LAMM_GDA": 87.5},
        accuracy_by="3-fold cross-validation",
    )


def test_the_page_says_what_the_file_holds(tmp_path: Path) -> None:
    knowledge().save(tmp_path / "fruit.lamm")
    page = tmp_path / "page.html"
    assert call_tool("report", tmp_path / "fruit.lamm", "-o", page).returncode == 0
    text = page.read_text()
    for said in (
        *("LAMM_GDA (this classifier)", "87.5", "3-fold cross-validation", "abababababab…", "MIT &amp; more"),
        *("from 12 left-out photos; temperature 0.5", "1.5 % (ECE; 9.2 % without", "a threshold that 95% of"),
        "81.2 % (AUROC of",
        *("<dt>not measured with</dt><dd>apple</dd>", "&lt;b&gt;pear&lt;/b&gt;", "is read by CLIP as &#34;quince&#34;"),
        *("2026-03-04", "<dt>photos</dt><dd>16</dd>"),
    ):
        assert said in text, said
    assert "<b>" not in text


def test_each_class_stands_beside_the_one_with_the_nearest_label() -> None:
    rows = class_table(knowledge()).rows
    assert [row[4].text for row in rows] == ["apple", "apple", "plum"]
    assert rows[0][5].value == pytest.approx(1 / 1.25**0.5, abs=1e-6)
    assert [row[1].value for row in rows] == [5, 7, 4]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--root", "data"], "--root is for runs"),
        (["--trainer", "LAMM"], "--trainer is for runs"),
        (["."], "give folders of runs or classifier files, not both"),
        (["nowhere.lamm"], "nowhere.lamm is not there"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    more: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    knowledge().save("fruit.lamm")
    done = call_tool("report", "-o", "page.html", "fruit.lamm", *more)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert not Path("page.html").exists()
