"""What stops a run before it starts, and what such a run leaves behind: nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lamm.run.before as before
from lamm.engine import get_cfg_default
from lamm.errors import ConfigError, EngineError
from lamm.parallel.ranks import Ranks
from lamm.run.before import before_build, config_to_build, remove_mere_log, require_same_split
from lamm.run.record import RunClasses


class Ours:
    several_processes = True


def plan(folder: Path, trainer_class: type = Ours, **keys: Any) -> Any:
    cfg = get_cfg_default()
    cfg.SEED, cfg.OUTPUT_DIR = 1, str(folder / "run")
    cfg.merge_from_list([word for pair in keys.items() for word in pair])
    cfg.freeze()
    return SimpleNamespace(cfg=cfg, trainer="Some", trainer_class=trainer_class, output_dir=folder / "run")


class Alike(Ranks):
    """Several processes that agree in everything."""

    def require_same(self, what: str, value: Any, advice: str) -> None:
        pass


def test_what_several_processes_can_share_passes_and_alone_everything_does(tmp_path: Path) -> None:
    assert before_build(plan(tmp_path), False, Alike(1, 2)) is None
    assert before_build(plan(tmp_path, object, SEED=-1), False, Ranks()) is None


def test_unseeded_runs_and_trainers_that_can_not_share_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4 processes must draw the same batches: give --seed"):
        before_build(plan(tmp_path, SEED=-1), False, Alike(0, 4))
    with pytest.raises(ConfigError, match="trainer Some can't share its work among 2 processes"):
        before_build(plan(tmp_path, object), False, Alike(0, 2))


def test_several_processes_with_upstream_dassl_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "ENGINE", SimpleNamespace(name="dassl"))
    with pytest.raises(EngineError, match="LAMM_ENGINE=embedded"):
        before_build(plan(tmp_path), False, Alike(0, 2))


def test_only_the_first_process_writes_the_confusion_matrix(tmp_path: Path) -> None:
    writing = plan(tmp_path)
    writing.cfg.defrost()
    writing.cfg.TEST.COMPUTE_CMAT = True
    assert config_to_build(writing, None, Ranks(0, 2)).TEST.COMPUTE_CMAT
    assert not config_to_build(writing, None, Ranks(1, 2)).TEST.COMPUTE_CMAT
    assert writing.cfg.TEST.COMPUTE_CMAT


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "output"


def begun(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("log.txt", *names):
        (folder / name).write_text("x")
    return folder


def test_a_folder_with_a_log_alone_goes_with_the_empty_folders_above_it(runs: Path) -> None:
    other = begun(runs / "digits" / "shots_1" / "LAMM" / "cfg" / "seed1", "config.yaml")
    remove_mere_log(begun(runs / "digits" / "shots_1" / "CoOp" / "cfg" / "seed1"), runs)
    assert [path.name for path in (runs / "digits" / "shots_1").iterdir()] == ["LAMM"]
    assert other.is_dir()
    remove_mere_log(begun(runs / "shapes" / "seed1"), runs)
    assert [path.name for path in runs.iterdir()] == ["digits"]


def test_a_folder_elsewhere_goes_alone(tmp_path: Path, runs: Path) -> None:
    remove_mere_log(begun(tmp_path / "mine" / "run"), runs)
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_with_anything_else_stays_whole(runs: Path) -> None:
    folder = begun(runs / "digits" / "seed1", "notes.txt")
    remove_mere_log(folder, runs)
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "notes.txt"]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"starfish": 65, "crab": 9}, r'25 new photos in "starfish", 1 fewer photo in "crab"'),
        ({"starfish": 40, "crab": 10, "eel": 3}, r'3 new photos in "eel"'),
        ({"starfish": 40, "crab": 10}, "other photos, as many as before"),
    ],
)
def test_photos_that_came_or_went_since_a_run_are_told_and_nothing_has_to_be_removed(
    now: dict[str, int], told: str, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    RunClasses(["starfish", "crab"], [], images={"starfish": 40, "crab": 10}).write(tmp_path / "run")
    data = SimpleNamespace(split_hash="other", images_per_class=now)
    with pytest.raises(ConfigError, match=rf"another split of the data \({told}\).*--tag") as error:
        require_same_split(plan(tmp_path), SimpleNamespace(config_hash="before"), data)
    assert "remove" not in str(error.value)
