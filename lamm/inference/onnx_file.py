"""A module that scores images as an ONNX file, for any number of images, and the check that it says the same.

Letters: B images, N classes, H height, W width.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamm.errors import LammError

INPUT = "images"
OUTPUTS = ("logits", "probabilities")
NEEDED = ("onnx", "onnxscript")
CHECKER = "onnxruntime"
INSTALL = 'pip install -e ".[onnx]"'
OLDEST_TORCH = (2, 6)
# Protocol buffers end at 2 GiB; a graph with more weights keeps them in a file beside it.
MOST_BYTES_INSIDE = 1_900_000_000
BATCH_SIZES = (1, 3)
# How far a logit may be off: rounding of fp32 through a large tower, and far below what another graph would give.
TOLERANCE = 0.02


class ExportError(LammError):
    """A classifier that can't be written as asked."""


def missing_for_onnx() -> str | None:
    """What has to be installed before ONNX files can be written; None: nothing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)}: {INSTALL}"
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return None if version >= OLDEST_TORCH else f"torch {'.'.join(map(str, OLDEST_TORCH))} or newer"


def write_onnx(module: nn.Module, image_size: int, path: Path, metadata: Mapping[str, str]) -> list[Path]:
    """Write a graph from `images` (B, 3, H, W) to `logits` and `probabilities`, (B, N) each; B is free.

    Args:
        module: from images to both outputs; on the CPU, in fp32.
        image_size: H = W.
        path: of the file; one with too many weights for it gets `<path>.data` beside it, under this very name.
        metadata: texts that the file carries.

    Returns:
        The files written.

    Raises:
        ExportError: a graph can't be made of the module, or only one for a fixed number of images.
    """
    example = torch.zeros(2, 3, image_size, image_size)
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        with _for_export():
            # This step refuses a module that settles on the example's number of images.
            graph = torch.export.export(module, (example,), dynamic_shapes=shapes, strict=False)
            program: Any = torch.onnx.export(
                graph, input_names=[INPUT], output_names=list(OUTPUTS), dynamic_shapes=shapes, verbose=False
            )
    except Exception as error:  # the exporter lets through whatever it trips over
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"no ONNX graph can be made of this classifier ({type(error).__name__}: {reason})") from error
    program.model.metadata_props.update(metadata)
    for node in program.model.graph:
        node.metadata_props.clear()  # where in the source it comes from, with the paths of this machine
    weight_bytes = sum(
        value.const_value.nbytes for value in program.model.graph.initializers.values() if value.const_value
    )
    inside = weight_bytes <= MOST_BYTES_INSIDE
    program.save(str(path), external_data=not inside)
    return [path] if inside else [path, path.with_name(f"{path.name}.data")]


def largest_difference(path: Path, logits: Callable[[Tensor], Tensor], image_size: int) -> float | None:
    """How far the file's logits are from ours, for several numbers of images; None: there is nothing to run it with.

    Args:
        path: of the file.
        logits: ours, from images (B, 3, H, W) to (B, N).
        image_size: H = W.

    Raises:
        ExportError: further than rounding explains.
    """
    if importlib.util.find_spec(CHECKER) is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences = []
    for count in BATCH_SIZES:
        images = torch.randn(count, 3, image_size, image_size, generator=generator)
        got = torch.from_numpy(session.run([OUTPUTS[0]], {INPUT: images.numpy()})[0])
        differences.append((got - logits(images)).abs().max())
    away = torch.stack(differences).max().item()  # not a number, if one of them is none
    if not away <= TOLERANCE:
        raise ExportError(f"the ONNX file's logits are {away:.3g} from ours: it is not kept; please report this")
    return away


@contextmanager
def _for_export() -> Iterator[None]:
    """Attention in its plain form, no gradients, no warnings about the libraries' internals."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
