"""Checkouts of the CoOp family: theirs under our command, ours in their train.py."""

import os
import subprocess
import sys

import pytest

from lamm.engine import DATASET_REGISTRY, ENGINE, TRAINER_REGISTRY
from lamm.engine.foreign import import_file_or_module
from lamm.errors import ConfigError
from lamm.results.schema import RunResults
from tests.engine.coop_checkout import PACKAGES, write_checkout
from tests.engine.standin_dassl import ROOT, write_standin_dassl
from tests.train_command import train


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout that is the working directory; what it imports and registers is forgotten after the test.

    Our own checkout stands first on the path, as it does under `python train.py`.
    """
    folder = write_checkout(tmp_path / "CoOp")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for registry in (TRAINER_REGISTRY, DATASET_REGISTRY):
        for table in ("_objects", "_offers"):
            monkeypatch.setattr(registry, table, dict(vars(registry).get(table, {})), raising=False)
    earlier = {name: module for name, module in sys.modules.items() if name.split(".")[0] in PACKAGES}
    for name in earlier:
        del sys.modules[name]
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] in (*PACKAGES, "dassl")]:
        del sys.modules[name]
    sys.modules.update(earlier)


pytestmark = pytest.mark.skipif(ENGINE.name != "embedded", reason="upstream Dassl is in charge")


def file_of(name):
    return sys.modules[name].__file__


@pytest.mark.parametrize("spec", ["trainers.coop", "{}/trainers/coop.py", "trainers/coop.py"])
def test_a_trainer_of_a_checkout_is_theirs_and_part_of_its_package(checkout, spec):
    module = import_file_or_module(spec.format(checkout))
    assert (module.__name__, module.__file__) == ("trainers.coop", str(checkout / "trainers" / "coop.py"))
    assert file_of("clip.clip") == str(checkout / "clip" / "clip.py")
    assert TRAINER_REGISTRY.get("CoOp") is module.CoOp
    assert import_file_or_module(str(checkout / "trainers" / "coop.py")) is module


def test_relative_imports_work_in_a_folder_without_an_init_file_too(checkout):
    (checkout / "trainers" / "__init__.py").unlink()
    assert import_file_or_module("trainers/coop.py").__name__ == "trainers.coop"


@pytest.mark.parametrize("spec", ["trainers.coop", f"{ROOT}/trainers/coop.py"])
def test_our_own_trainers_are_not_loaded_a_second_time_under_another_name(checkout, monkeypatch, spec):
    monkeypatch.chdir(ROOT)
    assert import_file_or_module(spec) is sys.modules["lamm_trainers.coop"]


def test_a_package_of_that_name_from_elsewhere_is_said(checkout, tmp_path):
    import_file_or_module("trainers/coop.py")
    other = write_checkout(tmp_path / "MaPLe")
    with pytest.raises(ConfigError, match="belongs to a package trainers, .* loaded from .*CoOp/trainers already"):
        import_file_or_module(str(other / "trainers" / "coop.py"))


def test_a_checkouts_trainer_runs_to_the_end_by_its_train_py_whose_main_does_not_run(checkout):
    quiet = "--dataset-config-file squares.yaml --config-file quick.yaml --seed 1 --root data"
    done = train(
        f"--import train.py --import trainers.deeper --trainer Deeper {quiet} --output-dir out TRAINER.COOP.W 2.0"
    )
    assert (done.code, done.err) == (0, ""), done
    assert RunResults.read(checkout / "out" / "results.json").status == "finished"
    stored = (checkout / "out" / "config.yaml").read_text()
    assert "CTX_INIT: false" in stored
    assert "W: 2.0" in stored


def test_our_defaults_do_not_break_their_checks(checkout):
    quiet = "--dataset-config-file squares.yaml --config-file quick.yaml --seed 1 --root data"
    done = train(
        f"--import trainers/coop.py --import datasets.squares --trainer CoOp {quiet} TRAINER.COOP.CTX_INIT True"
    )
    assert (done.code, done.err) == (0, ""), done
    assert '"CoOp" is that of trainers.coop, not that of lamm_trainers.coop' in done.out
    (log,) = (checkout / "output").rglob("log.txt")
    assert "words of the switch" in log.read_text()
    refused = train(f"--import trainers/coop.py --trainer CoOp {quiet} TRAINER.COOP.PREC bf16")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert 'trainer CoOp refuses the config: AssertionError: assert cfg.TRAINER.COOP.PREC in ["fp16"' in refused.err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "from dassl.engine import TRAINER_REGISTRY as R\nR.register(type('CoOp', (), {}))\n" * 2,
            '"CoOp" was already',
        ),
        ("raise BaseException('stop')", "BaseException: stop"),
        (f"raise ValueError({'x ' * 999!r})", "ValueError: x x"),
        ("def extend_cfg(cfg, args): pass", r"its extend_cfg\(cfg\) fails: TypeError"),
        ("def extend_cfg(cfg):\n    raise KeyError('W')", r"its extend_cfg\(cfg\) fails: KeyError: W \(.*, line 2\)"),
        ("def extend_cfg(cfg):\n    cfg.TRAINER = None", r"makes cfg\.TRAINER a NoneType"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_and_exit_code_2(checkout, code, said):
    (checkout / "broken.py").write_text(code)
    done = train("--import broken.py --trainer LAMM --dataset digits")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert len(done.err) <= 500
    with pytest.raises(ConfigError, match=said):
        raise ConfigError(done.err)


def test_two_lines_in_their_train_py_before_their_trainers_offer_ours(tmp_path):
    folder, dassl = write_checkout(tmp_path / "CoOp"), write_standin_dassl(tmp_path)
    text = (folder / "train.py").read_text()
    for place, line in {  # where isort puts the first; in front of their own keys, the second
        "import argparse\n": "import lamm_trainers\n",
        "    cfg = get_cfg_default()\n": "    lamm_trainers.extend_cfg(cfg)\n",
        "    setup_logger(cfg.OUTPUT_DIR)\n": "    print(lamm_trainers.TRAINER_REGISTRY.get('CoOp'))\n",
    }.items():
        assert text.count(place) == 1
        text = text.replace(place, place + line)
    (folder / "train.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "LAMM_ENGINE"}
    command = [sys.executable, "train.py", "--trainer", "LAMM", "--output-dir", "out"]
    done = subprocess.run(
        command, cwd=folder, env={**environment, "PYTHONPATH": str(dassl)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    log = (folder / "out" / "log.txt").read_text()
    assert "Engine: dassl 0.6.3 (installed, and it passed the probe)" in log
    assert "<class 'trainers.coop.CoOp'>" in log
    assert '"CoOp" is that of trainers.coop, not that of lamm_trainers.coop' in log
