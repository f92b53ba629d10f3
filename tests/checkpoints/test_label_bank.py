"""Learned labels as a file: its size, its content, matching by class name, damaged files."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lamm.checkpoints.label_bank import LabelBank, match_by_name
from lamm.errors import CheckpointError

NAMES = ["airplane", "german_shepherd", "café", 'say "cheese"', "日本", "crane", "crane", "C++", "car (red)", "yo-yo"]


def vectors(count: int, width: int = 8) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count))


def bank_of(names: list[str], counts: list[int] | None = None, width: int = 8) -> LabelBank:
    counts = counts or [1] * len(names)
    return LabelBank(names, counts, vectors(sum(counts), width), "ViT-B/16")


@pytest.mark.parametrize("counts", [None, [1, 2, 3, 4, 2, 1, 1, 3, 4, 3]])
def test_a_file_gives_back_what_was_saved(tmp_path: Path, counts: list[int] | None) -> None:
    bank = bank_of(NAMES, counts)
    bank.save(tmp_path / "labels.safetensors")
    loaded = LabelBank.load(tmp_path / "labels.safetensors")
    assert (loaded.class_names, loaded.counts, loaded.backbone) == (NAMES, bank.counts, "ViT-B/16")
    assert torch.equal(loaded.embeddings, bank.embeddings)
    assert [len(own) for own in loaded.by_class()] == bank.counts


@pytest.mark.parametrize("width", [128, 512])
@pytest.mark.parametrize("count", [10, 100])
@pytest.mark.parametrize("tokens", [1, 3])
def test_a_vector_takes_four_bytes_an_entry_and_at_most_a_tenth_more(
    tmp_path: Path, count: int, width: int, tokens: int
) -> None:
    names = [f"american_foxhound_{number:03d}" for number in range(count)]
    bank_of(names, [tokens] * count, width).save(tmp_path / "bank")
    numbers = 4 * width * tokens * count
    assert numbers < (tmp_path / "bank").stat().st_size <= 1.1 * numbers


def test_vectors_with_a_gradient_or_in_half_precision_are_saved_as_fp32(tmp_path: Path) -> None:
    half = vectors(2).half().requires_grad_()
    LabelBank(["a", "b"], [1, 1], half, "small").save(tmp_path / "bank")
    assert torch.equal(LabelBank.load(tmp_path / "bank").embeddings, half.detach().float())


def test_classes_are_matched_by_name_and_unknown_ones_left_out() -> None:
    bank = bank_of(["cat", "dog", "owl"], [1, 2, 1])
    cat, dog, _ = bank.by_class()
    matched = match_by_name(bank, ["dog", "emu", "cat"], [2, 1, 1])
    assert set(matched) == {0, 2}
    assert torch.equal(matched[0], dog)
    assert torch.equal(matched[2], cat)


def test_classes_of_the_same_name_are_matched_in_order() -> None:
    bank = bank_of(["crane", "owl", "crane"])
    matched = match_by_name(bank, ["owl", "crane", "crane"], [1, 1, 1])
    for place, row in enumerate([1, 0, 2]):
        assert torch.equal(matched[place], bank.embeddings[row : row + 1])


def test_two_classes_share_the_label_of_the_only_one_with_their_name() -> None:
    bank = bank_of(["crane"])
    matched = match_by_name(bank, ["crane", "crane"], [1, 1])
    assert torch.equal(matched[0], bank.embeddings)
    assert torch.equal(matched[1], bank.embeddings)


def test_matched_vectors_are_copies() -> None:
    bank = bank_of(["cat"])
    before = bank.embeddings.clone()
    match_by_name(bank, ["cat"], [1])[0].zero_()
    assert torch.equal(bank.embeddings, before)


def test_another_number_of_vectors_for_a_class_is_an_error_that_names_it() -> None:
    with pytest.raises(
        CheckpointError, match=r'label of "dog" has 2 vectors, this model takes 1: use the LABEL_TOKENS'
    ):
        match_by_name(bank_of(["dog"], [2]), ["dog"], [1])


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no label file at .*labels\.safetensors"):
        LabelBank.load(tmp_path / "labels.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 40, -10])
def test_a_cut_file_is_an_error(tmp_path: Path, keep: int) -> None:
    bank_of(NAMES).save(tmp_path / "bank")
    whole = (tmp_path / "bank").read_bytes()
    (tmp_path / "bank").write_bytes(whole[:keep])
    with pytest.raises(CheckpointError, match="bank is damaged or not a label file"):
        LabelBank.load(tmp_path / "bank")


GOOD = {"class_names": json.dumps(["a", "b"]), "backbone": "small"}


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"backbone": "small"},
        {"class_names": json.dumps(["a", "b"])},
        {**GOOD, "class_names": "["},
        {**GOOD, "class_names": "5"},
        {**GOOD, "class_names": json.dumps(["a"])},
        {**GOOD, "counts": json.dumps([1, 2])},
        {**GOOD, "counts": json.dumps([2])},
        {**GOOD, "counts": json.dumps([-1, 3])},
        {**GOOD, "counts": json.dumps(["1", "1"])},
        {**GOOD, "counts": "[true, true]"},
        {**GOOD, "class_names": "[" * 100_000},
    ],
    ids=lambda metadata: json.dumps(metadata)[:60],
)
def test_metadata_that_does_not_fit_is_an_error(tmp_path: Path, metadata: dict[str, str]) -> None:
    save_file({"embeddings": vectors(2)}, tmp_path / "bank", metadata)
    with pytest.raises(CheckpointError, match="bank is damaged"):
        LabelBank.load(tmp_path / "bank")


@pytest.mark.parametrize(
    "embeddings", [torch.tensor(2.0), torch.ones(2), torch.ones(2, 3, dtype=torch.long), torch.full((2, 3), math.inf)]
)
def test_vectors_that_are_none_are_an_error(tmp_path: Path, embeddings: Tensor) -> None:
    save_file({"embeddings": embeddings}, tmp_path / "bank", GOOD)
    with pytest.raises(CheckpointError, match="bank"):
        LabelBank.load(tmp_path / "bank")


def test_a_file_of_other_tensors_is_an_error(tmp_path: Path) -> None:
    save_file({"weights": vectors(2)}, tmp_path / "bank", GOOD)
    with pytest.raises(CheckpointError, match="bank is damaged or not a label file"):
        LabelBank.load(tmp_path / "bank")
