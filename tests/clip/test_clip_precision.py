"""`PREC auto` follows the device and the CPU's flags; the context follows the precision."""

from pathlib import Path

import pytest
import torch

from lamm.clip import model as precision
from lamm.clip.model import autocast, resolve_precision
from lamm.errors import ConfigError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def cpuinfo(folder: Path, flags: str) -> Path:
    file = folder / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: amx_bf16 in the name only\nflags\t\t: fpu {flags} sse\n")
    return file


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("amx_bf16", "bf16"), ("avx512_bf16 avx512f", "bf16"), ("avx512f amx_tile", "fp32"), ("", "fp32")],
)
def test_auto_on_a_cpu_follows_its_flags(
    flags: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "CPUINFO", cpuinfo(tmp_path, flags))
    assert resolve_precision("auto", CPU) == expected


def test_auto_on_a_cpu_that_tells_no_flags_is_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "none")
    assert resolve_precision("auto", CPU) == "fp32"


def test_auto_is_amp_on_cuda_and_fp32_on_other_accelerators() -> None:
    assert resolve_precision("auto", CUDA) == "amp"
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize("prec", ["fp32", "fp16", "amp", "bf16"])
def test_a_named_precision_is_kept(prec: str) -> None:
    assert resolve_precision(prec, CPU) == prec


def test_an_unknown_precision_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match='unknown PREC "bf1"; did you mean "bf16"'):
        resolve_precision("bf1", CPU)


@pytest.mark.parametrize(
    ("prec", "expected"),
    [("fp32", torch.float32), ("fp16", torch.float32), ("amp", torch.bfloat16), ("bf16", torch.bfloat16)],
)
def test_a_matrix_product_on_a_cpu_has_the_dtype_of_the_precision(prec: str, expected: torch.dtype) -> None:
    x = torch.ones(2, 2)
    with autocast(prec, CPU):
        assert (x @ x).dtype == expected


def test_an_unresolved_precision_has_no_context() -> None:
    with pytest.raises(ConfigError, match="unknown precision"):
        autocast("auto", CPU)
