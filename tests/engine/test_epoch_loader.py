"""Batches that are the same for any number of worker processes, pass after pass."""

import os
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from lamm.engine.embedded.loader import EpochLoader, EpochPlan, Feed, generator_states, restore_generators

WAYS = [(0, False), (1, True), (2, False), (2, True)]  # workers, kept or not


class Noise:
    """Items that draw from all three generators; 14 of them, so that the last batch of 4 is a short one."""

    broken = -1

    def __len__(self) -> int:
        return 14

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self.broken:
            raise ValueError(f"item {index} is broken")
        drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
        return {"index": index, "drawn": torch.tensor(drawn), "process": os.getpid()}


def loader(workers: int = 0, keeps_workers: bool = False, items: Any = None, **options: Any) -> EpochLoader:
    items = items or Noise()
    options = {"batch_size": 4, "sampler": RandomSampler(items), "drop_last": True, **options}
    return EpochLoader(items, keeps_workers, num_workers=workers, **options)


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def contents(batches: Any) -> list[Any]:
    return [(batch["index"].tolist(), batch["drawn"].tolist()) for batch in batches]


def drawn_next() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(()).item()


@pytest.fixture(scope="module")
def expected() -> tuple[list[Any], Any]:
    """Three passes without workers, and what the generators of this process give afterwards."""
    seed(5)
    made = loader()
    return [contents(made) for _ in range(3)], drawn_next()


@pytest.mark.parametrize(("workers", "keeps"), WAYS)
def test_any_number_of_workers_gives_the_same_batches_and_leaves_the_generators_alike(workers, keeps, expected):
    seed(5)
    made = loader(workers, keeps)
    assert ([contents(made) for _ in range(3)], drawn_next()) == expected


def test_order_and_draws_are_those_of_torchs_own_loader_with_workers(expected):
    seed(5)
    plain = DataLoader(Noise(), batch_size=4, sampler=RandomSampler(Noise()), drop_last=True, num_workers=1)
    order = [[batch["index"].tolist() for batch in plain] for _ in range(3)]
    assert order == [[indices for indices, _ in batches] for batches in expected[0]]
    assert drawn_next() == expected[1]


def test_passes_differ_and_so_do_all_items(expected):
    numbers = [tuple(item) for batches in expected[0] for _, drawn in batches for item in drawn]
    for column in zip(*numbers, strict=True):
        assert len(set(column)) == len(numbers)


def test_an_item_that_comes_twice_in_a_pass_draws_twice():
    (batch,) = loader(sampler=[3, 3, 3, 3])
    assert len(set(batch["drawn"][:, 0].tolist())) == 4


@pytest.mark.parametrize(("workers", "keeps"), [(0, False), (2, True)])
def test_a_resumed_run_goes_on_with_the_same_batches(workers, keeps, expected):
    seed(5)
    first = loader(2, True)
    assert contents(first) == expected[0][0]
    states = generator_states()
    seed(77)
    resumed = loader(workers, keeps)
    restore_generators(states)
    assert [contents(resumed) for _ in range(2)] == expected[0][1:]


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), lambda: np.random.rand(), random.random])
def test_who_draws_between_passes_changes_them_alike_for_any_number_of_workers(draw):
    def passes(workers: int) -> list[Any]:
        seed(5)
        made = loader(workers, True)
        found = []
        for _ in range(3):
            found.append(contents(made))
            draw()
        return found

    assert passes(2) == passes(0)


def test_a_pass_that_is_broken_off_is_followed_by_a_whole_one():
    def passes(workers: int) -> list[Any]:
        seed(5)
        made = loader(workers, True)
        batches = iter(made)
        started = contents([next(batches), next(batches)])
        del batches
        return [started, contents(made), contents(made)]

    assert passes(2) == passes(0)


def test_two_passes_at_a_time_don_t_mix():
    def pairs(workers: int) -> list[Any]:
        seed(5)
        made = loader(workers, True)
        return [contents(pair) for pair in zip(made, made, strict=True)]

    assert pairs(1) == pairs(0)


def test_kept_workers_stay_and_others_don_t():
    def processes(keeps: bool) -> list[set[int]]:
        made = loader(1, keeps)
        return [{process for batch in made for process in batch["process"].tolist()} for _ in range(2)]

    first, second = processes(keeps=True)
    assert first == second != {os.getpid()}
    first, second = processes(keeps=False)
    assert first.isdisjoint(second)


@pytest.mark.parametrize("keeps", [False, True])
def test_an_error_in_a_worker_comes_out_and_the_next_pass_begins_anew(keeps):
    made = loader(1, keeps, sampler=range(8))
    made.dataset.broken = 5
    with pytest.raises(ValueError, match="item 5 is broken"):
        list(made)
    made.dataset.broken = -1
    assert [batch["index"].tolist() for batch in made] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_it_has_what_a_torch_loader_has():
    made = loader(2)
    assert isinstance(made, DataLoader)
    assert (len(made), made.batch_size, made.num_workers, type(made.dataset)) == (3, 4, 2, Noise)
    assert len(list(made.batch_sampler)) == 3


def test_the_feed_goes_on_with_a_pass_only_if_it_was_foreseen():
    seed(1)
    sampler = torch.utils.data.BatchSampler(RandomSampler(range(8)), 4, drop_last=False)
    feed = Feed(sampler)
    feed.start_with(EpochPlan.draw(sampler))
    before = torch.get_rng_state()
    asked_for = iter(feed)
    batches = [next(asked_for) for _ in range(8)]
    assert torch.equal(torch.get_rng_state(), before)
    for start in (2, 4):
        plan = EpochPlan.draw(sampler)
        assert feed.goes_on_with(plan)
        assert list(plan) == batches[start : start + 2]
    torch.rand(1)
    assert not feed.goes_on_with(EpochPlan.draw(sampler))
    feed.start_with(EpochPlan.draw(sampler))
    assert len(list(feed)) == 2  # it has stopped to guess
