"""A tensor is recognised as long as nothing was written to it, and never mistaken for another one."""

import copy

import torch

from lamm.clip.tensor_state import Remembered, can_be_remembered, lasting


def test_the_tensor_and_a_like_view_of_it_are_recognised() -> None:
    tensor = torch.randn(4, 3)
    assert Remembered(tensor).is_still(tensor)
    assert Remembered(tensor[None]).is_still(tensor[None])
    assert not Remembered(tensor[:2]).is_still(tensor[2:])
    assert not Remembered(tensor).is_still(tensor.T)
    assert not Remembered(tensor).is_still(tensor.clone())


def test_writing_is_noticed_through_a_view_too() -> None:
    tensor = torch.randn(4)
    seen = Remembered(tensor)
    tensor[1:].zero_()
    assert not seen.is_still(tensor)


def test_other_memory_under_the_same_name_is_noticed() -> None:
    weight = torch.nn.Parameter(torch.randn(4), requires_grad=False)
    seen = Remembered(weight)
    weight.data = torch.randn(4)
    assert not seen.is_still(weight)


def test_a_new_tensor_never_takes_the_place_of_a_remembered_one() -> None:
    for _ in range(50):
        tensor = torch.randn(1000)
        seen = Remembered(tensor)
        del tensor
        assert not seen.is_still(torch.randn(1000))


def test_a_copy_does_not_recognise_what_lies_where_the_original_lay() -> None:
    for _ in range(50):
        tensor = torch.randn(1000)
        copied = copy.deepcopy(Remembered(tensor))
        del tensor
        assert not copied.is_still(torch.randn(1000))


def test_tensors_without_a_version_are_never_recognised() -> None:
    with torch.inference_mode():
        tensor = torch.randn(3)
    assert not Remembered(tensor).is_still(tensor)
    assert not can_be_remembered(tensor)
    assert can_be_remembered(torch.randn(3))


def test_what_is_made_to_last_can_be_trained_with() -> None:
    x = torch.ones(3, requires_grad=True)
    with torch.inference_mode(), lasting():
        made = torch.full((3,), 2.0)
    (x * made).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]
