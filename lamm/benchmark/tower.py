"""Ways to encode images with CLIP's image tower, in turns, beside its matrix products alone."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.benchmark.comparison import Row
from lamm.benchmark.measure import MatrixProducts, seconds_by_themselves, seconds_of
from lamm.clip.loading import wrap_clip

Way = Callable[[Tensor], Tensor]
OURS, PLAIN = "this project", "open_clip, autocast"
HALF = {"bf16": torch.bfloat16, "amp": torch.float16}


def ways_to_encode(model: Any, precision: str, images: Tensor) -> dict[str, Way | str]:
    """Name → what encodes images (B, 3, H, W), or the reason why that can't be measured here; ours first.

    Args:
        model: an open_clip model, on its device.
        precision: `fp32`, `bf16` or `amp`.
        images: like those that will be encoded; the tower is compiled for them.
    """
    clip, device = wrap_clip(model, "random weights"), images.device.type
    clip.precision = precision

    def ours(x: Tensor) -> Tensor:
        with clip.autocast():
            return clip.encode_image(x)

    def with_autocast(tower: nn.Module) -> Way:
        def encode(x: Tensor) -> Tensor:
            with torch.autocast(device, HALF.get(precision), enabled=precision in HALF):
                return tower(x)  # type: ignore[no-any-return]

        return encode

    makers: dict[str, Callable[[], Way]] = {
        OURS: lambda: ours,
        PLAIN: lambda: with_autocast(model.visual),
        "open_clip, torch.compile": lambda: with_autocast(torch.compile(model.visual)),  # type: ignore[arg-type]
    }
    if device == "cpu":
        makers["OpenVINO"] = lambda: _openvino(model.visual, precision, images)
    if device == "cpu" and precision == "fp32":  # it has no bf16 on a CPU
        makers["onnxruntime"] = lambda: _onnxruntime(model.visual, images)
    ways: dict[str, Way | str] = {}
    for name, make in makers.items():
        try:
            way = make()
            way(images)  # compiles
            ways[name] = way
        except Exception as error:  # a library that is not here, or no compiler for it
            ways[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:80] if str(error) else ''}"
    return ways


def _onnxruntime(tower: nn.Module, images: Tensor) -> Way:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "tower.onnx"))
        torch.onnx.export(tower, (images,), file, input_names=["images"], dynamo=True, external_data=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"images": x.numpy()})[0])


def _openvino(tower: nn.Module, precision: str, images: Tensor) -> Way:
    import openvino

    types = {"fp32": "f32", "bf16": "bf16", "amp": "f16"}
    options = {"INFERENCE_PRECISION_HINT": types[precision], "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.compile_model(openvino.convert_model(tower, example_input=images), "CPU", options)
    return lambda x: torch.from_numpy(compiled(x.numpy())[0])


@torch.no_grad()
def compare_towers(model: Any, precision: str, batch: int, rounds: int, device: torch.device) -> list[Row]:
    """Time of each way, its share of the products' rate, and how near its features are to open_clip's in fp32.

    Args:
        model: an open_clip model, on its device.
        precision: of the products.
        batch: images at once.
        rounds: of all ways in turns, of which the median counts.
        device: the model's.

    Returns:
        A row per way: way, ms (per image), ratio (open_clip's time under autocast over its own), share (of the products
        in its time), cosine (the lowest of all images). A way that could not be measured has a `problem` instead.
    """
    sizes = wrap_clip(model, "random weights").image_size
    images = torch.randn(batch, 3, sizes, sizes, generator=torch.Generator().manual_seed(0)).to(device)
    expected = model.visual(images)
    ways = ways_to_encode(model, precision, images)
    ours: Any = ways[OURS]
    with MatrixProducts() as counted:
        ours(images)
    seconds: dict[str, list[float]] = {name: [] for name, way in ways.items() if not isinstance(way, str)}
    products = []
    for _ in range(rounds):
        products.append(seconds_by_themselves(counted.products, device))
        for name, times in seconds.items():
            times.append(seconds_of(lambda way=ways[name]: way(images), device))  # type: ignore[misc]
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows: list[Row] = []
    for name, way in ways.items():
        if isinstance(way, str):
            rows.append({"way": name, "problem": way})
            continue
        own = medians[name]
        alike = F.cosine_similarity(way(images).float().to(device), expected.float(), dim=1).min().item()
        share = statistics.median(products) / own
        rows.append(
            {"way": name, "ms": 1000 * own / batch, "ratio": medians[PLAIN] / own, "share": share, "cosine": alike}
        )
    return rows
