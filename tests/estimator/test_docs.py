"""What docs/python.md and the notebook show runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lamm
from tests.estimator.small_photos import photo
from tests.train_command import ROOT

COLOURS = {"my_photos/red": (220, 30, 30), "my_photos/blue": (30, 30, 220), "more/star": (240, 240, 40)}


def test_the_python_examples_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("tiny", "LAMM_GDA", None, 1, 2, 2, {"OPTIM.MAX_EPOCH": 2}, "", "")  # where the text gives no argument
    monkeypatch.setattr(lamm.Classifier.__init__, "__defaults__", quick)
    generator = np.random.default_rng(0)
    for folder, colour in {**COLOURS, "new": (220, 30, 30)}.items():
        Path(folder).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(photo(colour, generator)).save(f"{folder}/{number}.png")
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text(), re.M | re.S)
    assert blocks
    exec(compile("\n".join(blocks), "docs/python.md", "exec"), {})


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "your_photos.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
