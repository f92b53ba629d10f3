"""Code written for Dassl runs on the embedded engine: aliases, `--import`, and whole trainings."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

import lamm.engine as door
from lamm.engine import DATASET_REGISTRY, ENGINE, TRAINER_REGISTRY, TrainerX, build_trainer, get_cfg_default
from lamm.engine.aliases import ALIASES, install_aliases
from lamm.engine.foreign import import_file_or_module
from lamm.errors import ConfigError, EngineError

pytestmark = pytest.mark.skipif(ENGINE.name != "embedded", reason="upstream Dassl is in charge")
FOREIGN = Path(__file__).parents[1] / "foreign"


@pytest.fixture(autouse=True)
def only_here(monkeypatch):
    """Take the aliases, and what was put on the path, out again after each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "dassl"]:
        del sys.modules[name]


def config(tmp_path, trainer, **settings):
    cfg = get_cfg_default()
    module = sys.modules[TRAINER_REGISTRY.get(trainer).__module__]
    if hasattr(module, "extend_cfg"):
        module.extend_cfg(cfg)
    cfg.merge_from_list(
        ["TRAINER.NAME", trainer, "DATASET.NAME", "ColouredSquares", "DATASET.ROOT", str(tmp_path)]
        + ["OUTPUT_DIR", str(tmp_path / "out"), "INPUT.SIZE", "(16, 16)", "INPUT.TRANSFORMS", "['normalize']"]
        + ["DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 6, "USE_CUDA", False]
        + ["OPTIM.NAME", "sgd", "OPTIM.LR", 0.1, "OPTIM.LR_SCHEDULER", "cosine", "OPTIM.MAX_EPOCH", 6]
        + ["OPTIM.WARMUP_EPOCH", 1, "OPTIM.WARMUP_TYPE", "constant"]
        + [part for pair in settings.items() for part in pair]
    )
    cfg.freeze()
    return cfg


def silent(trainer):
    trainer.init_writer = lambda log_dir: None
    return trainer


def test_a_classifier_written_for_dassl_learns_its_own_data_set(tmp_path, capsys):
    import_file_or_module(str(FOREIGN / "plain_classifier.py"))
    torch.manual_seed(0)
    trainer = silent(build_trainer(config(tmp_path, "PlainClassifier")))
    before = trainer.test()
    trainer.train()
    assert trainer.test() > max(before, 60.0)
    assert isinstance(trainer, TrainerX)
    assert trainer.dm.dataset.classnames == ["red", "green", "blue"]
    assert "Loading dataset: ColouredSquares" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["fp32", "amp"])
def test_a_prompt_learner_in_the_style_of_coop_trains_saves_and_loads(tmp_path, capsys, precision):
    for name in ("plain_classifier.py", "coop_style.py"):
        import_file_or_module(str(FOREIGN / name))
    cfg = config(tmp_path, "ToyCoOp", **{"TRAINER.TOYCOOP.PREC": precision, "DATASET.NUM_SHOTS": 4})
    torch.manual_seed(0)
    trainer = silent(build_trainer(cfg))
    before = trainer.model.prompt_learner.ctx.detach().clone()
    trainer.train()
    assert not torch.equal(trainer.model.prompt_learner.ctx, before)
    saved = torch.load(tmp_path / "out" / "prompt_learner" / "model.pth.tar-6", weights_only=True)
    assert set(saved["state_dict"]) == {"ctx", "token_prefix", "token_suffix"}
    assert ("scaler" in saved) == (precision == "amp")
    accuracy = trainer.test()
    fresh = build_trainer(cfg)
    fresh.load_model(cfg.OUTPUT_DIR, epoch=6)
    assert fresh.test() == accuracy
    assert f'Loading weights to prompt_learner from "{tmp_path}' in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="Model not found"):
        fresh.load_model(cfg.OUTPUT_DIR)


def test_every_alias_gives_the_embedded_engines_own_object():
    install_aliases()
    install_aliases()
    for name, sources in ALIASES.items():
        module = importlib.import_module(name)
        for source, exported in sources.items():
            original = importlib.import_module(source, "lamm.engine.embedded")
            assert all(getattr(module, export) is getattr(original, export) for export in exported)
    import dassl.engine

    assert dassl.engine.TRAINER_REGISTRY is TRAINER_REGISTRY
    assert sys.modules["dassl.data.datasets"].DATASET_REGISTRY is DATASET_REGISTRY


def test_a_name_that_the_engine_lacks_says_so():
    install_aliases()
    import dassl.engine

    with pytest.raises(ImportError, match=r"embedded engine does not have dassl.engine.TrainerXU"):
        from dassl.engine import TrainerXU  # noqa: F401
    with pytest.raises(AttributeError, match=r"embedded engine does not have dassl.engine.TrainerXU"):
        _ = dassl.engine.TrainerXU
    with pytest.raises(ImportError, match=r"embedded engine does not have dassl.engine.dg"):
        import dassl.engine.dg
    assert not hasattr(dassl, "something")


def test_code_finds_the_names_that_the_coop_family_imports_from_deeper_places():
    install_aliases()
    exec(
        "from dassl.utils.tools import mkdir_if_missing\n"
        "from dassl.engine.trainer import AverageMeter, MetricMeter, SummaryWriter, TrainerX\n"
        "from dassl.optim.radam import RAdam\n"
        "from dassl.optim.lr_scheduler import ConstantWarmupScheduler, LinearWarmupScheduler\n"
        "from dassl.data.data_manager import build_transform\n"
        "from dassl.data.samplers import RandomDomainSampler, RandomSampler, SeqDomainSampler, SequentialSampler\n"
        "from dassl.metrics import *\n"
        "assert compute_accuracy and TrainerX.run_epoch",
        {},
    )


def test_a_trainer_without_a_model_of_its_own_is_told_to_build_one(tmp_path):
    import_file_or_module(str(FOREIGN / "plain_classifier.py"))
    trainer = type("NoModel", (TrainerX,), {"__module__": TRAINER_REGISTRY.get("PlainClassifier").__module__})
    TRAINER_REGISTRY.register(trainer, force=True)
    with pytest.raises(EngineError, match="build_model"):
        build_trainer(config(tmp_path, "NoModel"))


def test_a_pickled_datum_of_dassl_is_ours():
    import pickle

    install_aliases()
    code = b"cdassl.data.datasets.base_dataset\nDatum\n."
    assert pickle.loads(code) is door.Datum


def test_a_file_is_imported_once_and_finds_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_foreign.py").write_text("VALUE = 5\n")
    (tmp_path / "foreign_file.py").write_text("from neighbour_of_foreign import VALUE\n")
    module = import_file_or_module(str(tmp_path / "foreign_file.py"))
    assert module.VALUE == 5
    assert import_file_or_module(str(tmp_path / "foreign_file.py")) is module


def test_a_folder_of_files_is_no_module(tmp_path, monkeypatch):
    (tmp_path / "folder_of_files").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="folder_of_files: that is a folder without __init__.py"):
        import_file_or_module("folder_of_files")


def test_a_module_is_imported_by_name():
    assert import_file_or_module("json.tool").__name__ == "json.tool"


@pytest.mark.parametrize("spec", ["no/such/file.py", "no_such_module", "json.no_such_part", "", "..x", "train.py:main"])
def test_what_is_not_there_is_one_line(spec):
    with pytest.raises(ConfigError, match="there is no such") as caught:
        import_file_or_module(spec)
    assert spec in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import json\njson.loads('{')", r"JSONDecodeError: .* \(.*broken.py, line 2\)$"),
        ("import no_such_requirement", "no_such_requirement"),
        ("x = 1\nraise RuntimeError('first\\nsecond')", r"RuntimeError: first second \(.*broken.py, line 2\)"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("from dassl.engine import DAEL", "embedded engine does not have dassl.engine.DAEL"),
    ],
)
def test_an_import_that_fails_is_one_line(tmp_path, code, said):
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(ConfigError, match=said) as caught:
        import_file_or_module(str(tmp_path / "broken.py"))
    assert "\n" not in str(caught.value)
    assert "its import fails" in str(caught.value)
