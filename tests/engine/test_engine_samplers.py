"""Samplers by name, and the class-balanced one."""

import random
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import RandomSampler, SequentialSampler

from lamm.engine.embedded.data_manager import RandomClassSampler, build_sampler
from lamm.errors import LammError


def items(counts):
    return [SimpleNamespace(label=label) for label, count in enumerate(counts) for _ in range(count)]


def test_random_sampler_is_torchs_without_a_generator():
    sampler = build_sampler("RandomSampler", data_source=items([5]))
    assert type(sampler) is RandomSampler
    assert sampler.generator is None
    torch.manual_seed(3)
    ours = list(sampler)
    torch.manual_seed(3)
    assert ours == list(RandomSampler(range(5)))


def test_sequential_sampler_keeps_the_order():
    sampler = build_sampler("SequentialSampler", data_source=items([3]))
    assert type(sampler) is SequentialSampler
    assert list(sampler) == [0, 1, 2]


def test_unknown_sampler_is_a_value_error_and_a_user_error():
    with pytest.raises(ValueError, match=r"^Unknown sampler type: Shuffle;") as error:
        build_sampler("Shuffle", data_source=items([3]))
    assert isinstance(error.value, LammError)


@pytest.mark.parametrize("n_ins", [0, 5])
def test_more_images_a_class_than_a_batch_holds_is_refused(n_ins):
    with pytest.raises(ValueError, match="between 1 and BATCH_SIZE"):
        RandomClassSampler(items([9, 9]), batch_size=4, n_ins=n_ins)


@pytest.mark.parametrize("seed", range(5))
def test_every_batch_has_n_ins_images_of_each_of_its_classes(seed):
    random.seed(seed)
    data = items([random.randint(1, 20) for _ in range(random.randint(3, 9))])
    order = list(RandomClassSampler(data, batch_size=6, n_ins=2))
    for start in range(0, len(order), 6):
        labels = [data[position].label for position in order[start : start + 6]]
        assert labels[0::2] == labels[1::2]
        assert len(set(labels)) == 3


@pytest.mark.parametrize("seed", range(5))
def test_length_is_the_number_of_images_in_every_pass(seed):
    random.seed(seed)
    sampler = RandomClassSampler(items([random.randint(1, 30) for _ in range(7)]), batch_size=8, n_ins=4)
    assert [len(list(sampler)) for _ in range(3)] == [len(sampler)] * 3


def test_a_balanced_split_is_visited_whole_and_each_image_once():
    order = list(RandomClassSampler(items([4] * 6), batch_size=8, n_ins=4))
    assert sorted(order) == list(range(24))


def test_fewer_classes_than_a_batch_has_room_for():
    order = list(RandomClassSampler(items([4, 4]), batch_size=16, n_ins=4))
    assert sorted(order) == list(range(8))
