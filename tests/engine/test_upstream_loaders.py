"""Upstream's loaders learn what `NUM_WORKERS -1` means, and refuse a decoding that they don't have."""

from types import SimpleNamespace

import pytest

from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.worker_count import usable_cores
from lamm.engine.upstream import mend_loaders
from lamm.errors import ConfigError


@pytest.fixture
def module():
    def build_data_loader(cfg, *names, **options):
        return cfg.DATALOADER.NUM_WORKERS, names, options

    made = SimpleNamespace(build_data_loader=build_data_loader)
    mend_loaders(made)
    mend_loaders(made)
    return made


def config(workers, **options):
    cfg = get_cfg_default()
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.INPUT.update(options)
    cfg.freeze()
    return cfg


def test_a_number_of_workers_stays_what_it_is(module):
    assert module.build_data_loader(config(3), "RandomSampler", tfm=1) == (3, ("RandomSampler",), {"tfm": 1})


def test_sized_workers_are_those_of_the_machine_and_the_config_stays(module):
    cfg = config(-1)
    assert module.build_data_loader(cfg)[0] == min(8, usable_cores())
    assert cfg.DATALOADER.NUM_WORKERS == -1


def test_exact_decoding_is_what_upstream_has_and_fast_is_one_line(module):
    module.build_data_loader(config(0, DECODING="exact"))
    with pytest.raises(ConfigError, match="needs the embedded engine"):
        module.build_data_loader(config(0, DECODING="fast"))
