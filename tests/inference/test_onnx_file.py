"""ONNX files of small modules: any number of images, the same numbers, no traces of the machine."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamm.inference import onnx_file
from lamm.inference.onnx_file import ExportError, largest_difference, missing_for_onnx, write_onnx

SIDE = 4


class Linear(nn.Module):
    """Logits from the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(3 * SIDE * SIDE, 5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.map(images.flatten(1))
        return logits, logits.softmax(dim=-1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        return self(images)[0]


class OfOneSize(Linear):
    """Asks how many images there are, as `len` does, which no exporter can follow."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.map(images.flatten(1)) + torch.zeros(len(images), 1)
        return logits, logits.softmax(dim=-1)


@pytest.fixture
def module() -> Linear:
    torch.manual_seed(0)
    return Linear()


@pytest.fixture
def runtime() -> Any:
    reason = missing_for_onnx()
    if reason:
        pytest.skip(f"ONNX files need {reason}")
    return pytest.importorskip("onnxruntime", reason='needs pip install -e ".[onnx]"')


def run(runtime: Any, path: Path, images: Tensor) -> list[Tensor]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(["logits", "probabilities"], {"images": images.numpy()})]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_file_gives_the_modules_numbers_for_any_number_of_images(
    count: int, module: Linear, runtime: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    assert write_onnx(module, SIDE, path, {"key": "wert ü"}) == [path]
    images = torch.randn(count, 3, SIDE, SIDE)
    logits, probabilities = run(runtime, path, images)
    torch.testing.assert_close(logits, module.logits(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(probabilities, module.logits(images).softmax(dim=-1), atol=1e-6, rtol=1e-5)


def test_the_file_carries_its_metadata_and_no_path_of_the_machine(module: Linear, runtime: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_onnx(module, SIDE, path, {"key": "wert ü"})
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["key"] == "wert ü"
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("images", ["batch", 3, SIDE, SIDE])]
    assert [one.shape for one in session.get_outputs()] == [["batch", 5], ["batch", 5]]
    assert b".py" not in path.read_bytes()


def test_weights_beyond_the_limit_go_into_a_file_beside_it(
    module: Linear, runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MOST_BYTES_INSIDE", 100)
    path = tmp_path / "m.onnx"
    assert write_onnx(module, SIDE, path, {}) == [path, tmp_path / "m.onnx.data"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert (tmp_path / "m.onnx.data").stat().st_size >= 4 * 3 * SIDE * SIDE * 5
    assert largest_difference(path, module.logits, SIDE) == pytest.approx(0, abs=1e-5)


def test_a_graph_for_one_number_of_images_alone_is_refused(runtime: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no ONNX graph can be made of this classifier"):
        write_onnx(OfOneSize(), SIDE, tmp_path / "m.onnx", {})


def test_a_file_with_other_numbers_is_refused(module: Linear, runtime: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_onnx(module, SIDE, path, {})
    with pytest.raises(ExportError, match=r"logits are 0\.\d+ from ours: it is not kept"):
        largest_difference(path, lambda images: module.logits(images) + 0.1, SIDE)
    with pytest.raises(ExportError, match="logits are nan from ours"):
        largest_difference(path, lambda images: module.logits(images) * float("nan"), SIDE)


def test_what_is_missing_is_named(module: Linear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None)
    assert missing_for_onnx() == 'onnx and onnxscript: pip install -e ".[onnx]"'
    assert largest_difference(tmp_path / "m.onnx", module.logits, SIDE) is None
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch, "__version__", "2.4.1+cpu")
    assert missing_for_onnx() == "torch 2.6 or newer"
