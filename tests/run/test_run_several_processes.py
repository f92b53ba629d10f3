"""What a run must fulfil so that several processes can do it."""

from types import SimpleNamespace
from typing import Any

import pytest

import lamm.run.execute as several
from lamm.engine import get_cfg_default
from lamm.errors import ConfigError, EngineError
from lamm.parallel.ranks import Ranks


class Ours:
    several_processes = True


def plan(seed: int = 1, trainer_class: type = Ours) -> Any:
    return SimpleNamespace(cfg=SimpleNamespace(SEED=seed), trainer="Some", trainer_class=trainer_class)


def test_a_trainer_of_ours_with_a_seed_passes() -> None:
    several.check_processes(plan(), Ranks(1, 2))


def test_alone_everything_passes() -> None:
    several.check_processes(plan(seed=-1, trainer_class=object), Ranks())


def test_unseeded_runs_are_refused() -> None:
    with pytest.raises(ConfigError, match="4 processes must draw the same batches: give --seed, 0 or above"):
        several.check_processes(plan(seed=-1), Ranks(0, 4))


def test_trainers_that_can_not_share_out_are_refused() -> None:
    with pytest.raises(ConfigError, match="trainer Some can't share its work out over 2 processes"):
        several.check_processes(plan(trainer_class=object), Ranks(0, 2))


def test_upstream_dassl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "ENGINE", SimpleNamespace(name="dassl"))
    with pytest.raises(EngineError, match="on the embedded engine alone, and this run has dassl: set LAMM_ENGINE="):
        several.check_processes(plan(), Ranks(0, 2))


def test_only_the_first_process_writes_the_confusion_matrix() -> None:
    cfg = get_cfg_default()
    cfg.TEST.COMPUTE_CMAT = True
    cfg.freeze()
    assert several.config_of(cfg, Ranks(0, 2)).TEST.COMPUTE_CMAT
    assert not several.config_of(cfg, Ranks(1, 2)).TEST.COMPUTE_CMAT
    assert cfg.TEST.COMPUTE_CMAT
