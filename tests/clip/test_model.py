"""CLIP's precision follows device and flags; its tokenizer is byte-pair encoding, without start, end or truncation."""

import importlib
from pathlib import Path

import pytest
import torch

from lamm.clip import model
from lamm.clip.loading import wrap_clip
from lamm.clip.model import NARROW, ClipModel, autocast, resolve_precision
from lamm.clip.tokenizer import load_tokenizer
from lamm.errors import BackboneError, ConfigError, PromptError
from tests.clip.small_clip_models import clip_package, open_clip_model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def cpuinfo(folder: Path, flags: str) -> Path:
    file = folder / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: amx_bf16 in the name only\nflags\t\t: fpu {flags} sse\n")
    return file


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("amx_bf16", "bf16"), ("avx512_bf16 avx512f", "bf16"), ("avx512f amx_tile", "fp32")],
)
def test_auto_on_a_cpu_follows_its_flags(
    flags: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "CPUINFO", cpuinfo(tmp_path, flags))
    assert resolve_precision("auto", CPU) == expected


def test_auto_on_a_cpu_that_tells_no_flags_is_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "CPUINFO", tmp_path / "none")
    assert resolve_precision("auto", CPU) == "fp32"


def test_auto_is_amp_on_cuda_and_fp32_on_other_accelerators() -> None:
    assert resolve_precision("auto", CUDA) == "amp"
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


def test_a_named_precision_stays() -> None:
    names = ["fp32", "fp16", "amp", "bf16"]
    assert [resolve_precision(name, CPU) for name in names] == names


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


TEXTS = [
    "a photo of a llama.",
    "  A  PHOTO\nof an Alpaca ",
    "car (red).",
    "C++.",
    "St.",
    "caf&eacute; 737-200",
    "naïve ﬁne 日本語 🦙",
    "it's",
    "",
]


def test_ids_equal_those_of_the_clip_package() -> None:
    clip_package()
    reference = importlib.import_module("clip.simple_tokenizer").SimpleTokenizer()
    for text in TEXTS:
        assert load_tokenizer().encode(text) == reference.encode(text), text


def test_a_long_text_is_not_cut() -> None:
    tokenizer = load_tokenizer()
    assert tokenizer.encode("dog " * 200) == tokenizer.encode("dog") * 200


def test_start_and_end_are_the_two_largest_ids() -> None:
    tokenizer = load_tokenizer()
    assert (tokenizer.start, tokenizer.end, tokenizer.vocab_size) == (49406, 49407, 49408)


def test_a_text_that_holds_the_end_token_is_an_error() -> None:
    with pytest.raises(PromptError, match='"a <end_of_text> b" contains CLIP\'s own start or end token'):
        load_tokenizer().encode("a <end_of_text> b")


def test_the_tokenizer_is_made_once() -> None:
    assert load_tokenizer() is load_tokenizer()
    assert load_tokenizer("ViT-B-32").encode("llama") == load_tokenizer().encode("llama")


@pytest.mark.parametrize("architecture", ["ViT-B-16-SigLIP", "roberta-ViT-B-32"])
def test_another_tokenizer_is_refused_without_fetching_it(architecture: str) -> None:
    with pytest.raises(BackboneError, match=f"open_clip:{architecture} reads text with the tokenizer"):
        load_tokenizer(architecture)


def test_a_narrow_model_has_one_thread_and_a_wide_one_all(small_clip: ClipModel) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with small_clip.suited_threads() as spare:
            assert (torch.get_num_threads(), spare) == (1, 2)
        assert torch.get_num_threads() == 3
        wide = wrap_clip(open_clip_model(width=NARROW + 64, heads=2, layers=1), "wide")
        with wide.suited_threads() as spare:
            assert (torch.get_num_threads(), spare) == (3, 0)
    finally:
        torch.set_num_threads(threads)
