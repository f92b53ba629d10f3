"""Batches that are the same for any number of worker processes; how many there are if the config leaves it to us."""

import os
import random
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler

from lamm.engine.embedded import loader as loader_module
from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.loader import (
    EpochLoader,
    EpochPlan,
    Feed,
    cpu_states,
    restore_cpu_states,
    worker_count,
)
from lamm.errors import LammError

WAYS = [(1, True, 0), (2, False, 0), (2, True, 0), (0, True, 3), (2, True, 3)]  # workers, kept or not, taken ahead


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


def loader(
    workers: int = 0, keeps_workers: bool = False, ahead: int = 0, items: Any = None, **options: Any
) -> EpochLoader:
    """A loader; with `ahead` its batches go through something that takes as many before it gives the first."""
    items = items or Noise()
    options = {"batch_size": 4, "sampler": RandomSampler(items), "drop_last": True, **options}
    made = EpochLoader(items, keeps_workers, num_workers=workers, **options)
    if ahead:
        made.through = lambda batches: TakenAhead(batches, ahead)
    return made


class TakenAhead:
    def __init__(self, batches: Any, count: int) -> None:
        self._batches, self._count = batches, count

    def __iter__(self) -> Iterator[Any]:
        coming: deque[Any] = deque()
        for batch in self._batches:
            coming.append(batch)
            if len(coming) > self._count:
                yield coming.popleft()
        yield from coming


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


@pytest.mark.parametrize(("workers", "keeps", "ahead"), WAYS)
def test_any_number_of_workers_gives_the_same_batches_and_leaves_the_generators_alike(workers, keeps, ahead, expected):
    seed(5)
    made = loader(workers, keeps, ahead)
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
    states = cpu_states()
    seed(77)
    resumed = loader(workers, keeps)
    restore_cpu_states(states)
    assert [contents(resumed) for _ in range(2)] == expected[0][1:]


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), lambda: np.random.rand(), random.random])
def test_who_draws_between_passes_changes_them_alike_for_any_number_of_workers(draw):
    def passes(workers: int, ahead: int = 0) -> list[Any]:
        seed(5)
        made = loader(workers, True, ahead)
        found = []
        for _ in range(3):
            found.append(contents(made))
            draw()
        return found

    assert passes(2) == passes(0) == passes(0, 3) == passes(2, 3)


def test_a_pass_that_is_broken_off_is_followed_by_a_whole_one():
    def passes(workers: int, ahead: int = 0) -> list[Any]:
        seed(5)
        made = loader(workers, True, ahead)
        batches = iter(made)
        started = contents([next(batches), next(batches)])
        del batches
        return [started, contents(made), contents(made)]

    assert passes(2) == passes(0) == passes(0, 3) == passes(2, 3)


def test_two_passes_at_a_time_don_t_mix():
    def pairs(workers: int, ahead: int = 0) -> list[Any]:
        seed(5)
        made = loader(workers, True, ahead)
        return [contents(pair) for pair in zip(made, made, strict=True)]

    assert pairs(1) == pairs(0) == pairs(0, 3) == pairs(2, 3)


def test_kept_workers_stay_and_others_don_t():
    def processes(keeps: bool) -> list[set[int]]:
        made = loader(1, keeps)
        return [{process for batch in made for process in batch["process"].tolist()} for _ in range(2)]

    first, second = processes(keeps=True)
    assert first == second != {os.getpid()}
    first, second = processes(keeps=False)
    assert first.isdisjoint(second)


def test_what_goes_ahead_is_loading_the_next_pass_before_this_one_ends():
    loaded = []

    class Watched(Noise):
        def __getitem__(self, index: int) -> Any:
            loaded.append(index)
            return super().__getitem__(index)

    made = loader(0, True, 2, items=Watched(), sampler=range(8))
    batches = iter(made)
    next(batches)
    assert loaded == [*range(8), *range(4)]


@pytest.mark.parametrize(("workers", "keeps", "ahead"), [(1, False, 0), (1, True, 0), (0, True, 2)])
def test_an_error_in_loading_comes_out_and_the_next_pass_begins_anew(workers, keeps, ahead):
    made = loader(workers, keeps, ahead, sampler=range(8))
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
    requested = iter(feed)
    batches = [next(requested) for _ in range(8)]
    assert torch.equal(torch.get_rng_state(), before)
    for start in (2, 4):
        plan = EpochPlan.draw(sampler)
        assert feed.goes_on_with(plan)
        assert list(plan) == batches[start : start + 2]
    torch.rand(1)
    assert not feed.goes_on_with(EpochPlan.draw(sampler))
    feed.start_with(EpochPlan.draw(sampler))
    assert len(list(feed)) == 2  # it no longer foresees


@pytest.fixture
def machine(monkeypatch):
    """A machine of 6 cores with 4 GB of shared memory; `machine(cores, megabytes)` makes another."""

    def make(cores=6, megabytes=4096):
        monkeypatch.setattr(loader_module, "usable_cores", lambda: cores)
        monkeypatch.setattr(loader_module.os.path, "isdir", lambda path: True)
        monkeypatch.setattr(loader_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=megabytes * 2**20))

    make()
    return make


@pytest.fixture
def images(tmp_path, machine):
    """Builds so many images of a size, on that machine."""

    def build(count, size=(120, 100)):
        Image.new("RGB", size).save(tmp_path / "a.png")
        return [Datum(str(tmp_path / "a.png"))] * count

    return build


def count(images, workers=-1, batch_size=32, **options):
    cfg = get_cfg_default()
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.INPUT.update(options)
    return worker_count(cfg, images, batch_size)


def test_a_number_is_taken_as_it_is(images):
    assert count(images(3, (8, 8)), 13, SIZE=(32, 32)) == 13


def test_photos_get_a_worker_a_core_but_eight_at_most_and_no_more_than_batches(images, machine):
    assert count(images(320)) == 6
    assert count(images(70)) == 3
    assert count(images(3)) == 1
    machine(cores=64)
    assert count(images(3200)) == 8


def test_tiny_images_are_loaded_where_they_are_used(images):
    assert count(images(320, (32, 32)), SIZE=(32, 32)) == 0
    assert count(images(320, (32, 32)), SIZE=(224, 224)) == 6
    assert count(images(320, (640, 480)), SIZE=(32, 32)) == 6


def test_an_image_that_can_t_be_opened_counts_as_a_photo(images, tmp_path):
    listed = images(320)
    (tmp_path / "a.png").write_text("no image")
    assert count(listed, SIZE=(32, 32)) == 6


def test_little_shared_memory_means_few_workers_and_a_line_if_none(images, machine, capsys):
    batch = 32 * 3 * 224 * 224 * 4 / 2**20  # 18 MB, of which a worker holds three
    machine(megabytes=int(7 * batch))
    assert count(images(320)) == 2
    assert capsys.readouterr().out == ""
    machine(megabytes=50)
    assert count(images(320)) == 0
    assert "/dev/shm has 50 MB left, too little for workers" in capsys.readouterr().out


def test_usable_cores_are_those_of_the_process():
    assert 1 <= loader_module.usable_cores() <= len(loader_module.os.sched_getaffinity(0))


def test_no_number_of_workers_exhausts_the_machine(images, machine, capsys):
    assert count(images(3), 100_000) == 64
    assert "100000 worker processes were asked for, 64 are started" in capsys.readouterr().out
    machine(cores=40)
    assert count(images(3), 100_000) == 160


class Killed:
    """A data set whose worker process ends at once."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        os._exit(9)


def test_a_worker_that_is_killed_is_one_line():
    with pytest.raises(LammError, match=r"DATALOADER\.NUM_WORKERS") as error:
        next(iter(loader(1, items=Killed())))
    assert "\n" not in str(error.value)
