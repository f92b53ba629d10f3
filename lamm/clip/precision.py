"""Which arithmetic a run uses: `PREC` auto | fp32 | fp16 | amp | bf16."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from lamm.errors import ConfigError
from lamm.suggest import unknown_name

PRECISIONS = ("auto", "fp32", "fp16", "amp", "bf16")
BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
CPUINFO = Path("/proc/cpuinfo")


def resolve_precision(prec: str, device: torch.device) -> str:
    """The precision that `prec` means on `device`: fp32, fp16, amp or bf16.

    `auto` is amp on a CUDA device; on a CPU bf16 when its flags say AMX-BF16 or AVX512-BF16; else fp32.

    Raises:
        ConfigError: `prec` is none of `PRECISIONS`.
    """
    if prec not in PRECISIONS:
        raise ConfigError(unknown_name("PREC", prec, PRECISIONS))
    if prec != "auto":
        return prec
    if device.type == "cuda":
        return "amp"
    return "bf16" if device.type == "cpu" and _cpu_multiplies_bf16() else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which the towers run at a resolved precision.

    amp is fp16 autocast on CUDA and bf16 autocast elsewhere, bf16 is bf16 autocast everywhere. fp32 and fp16 are
    the dtype of the weights themselves and need no context.

    Raises:
        ConfigError: `precision` is not resolved (`auto`) or unknown.
    """
    if precision in ("fp32", "fp16"):
        return nullcontext()
    if precision == "bf16" or (precision == "amp" and device.type != "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    if precision == "amp":
        return torch.autocast(device.type, torch.float16)
    raise ConfigError(unknown_name("precision", precision, PRECISIONS[1:]))


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has bf16 matrix instructions; False where it can't be read."""
    try:
        text = CPUINFO.read_text()
    except OSError:
        return False
    flags = next((line.partition(":")[2] for line in text.splitlines() if line.startswith("flags")), "")
    return not BF16_FLAGS.isdisjoint(flags.split())
