"""The state of a tensor: equal as long as nothing was written to it."""

import torch

from lamm.tensor_state import state_of


def test_a_view_of_the_same_place_has_the_same_state() -> None:
    tensor = torch.randn(4, 3)
    assert state_of(tensor[None]) == state_of(tensor[None])
    assert state_of(tensor[:2]) != state_of(tensor[2:])
    assert state_of(tensor) != state_of(tensor.T)


def test_writing_changes_it_through_a_view_too() -> None:
    tensor = torch.randn(4)
    before = state_of(tensor)
    tensor[1:].zero_()
    assert state_of(tensor) != before


def test_tensors_without_a_version_have_none() -> None:
    with torch.inference_mode():
        assert state_of(torch.randn(3)) is None
