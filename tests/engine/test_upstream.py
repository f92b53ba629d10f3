"""Which engine runs, and that upstream's faults are mended from outside; each choice in a process of its own."""

import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lamm.engine import ENGINE, choice, upstream
from lamm.engine.choice import choose_engine
from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.data_manager import DatasetWrapper
from lamm.engine.embedded.registry import Registry
from lamm.engine.upstream import mend_loaders
from lamm.errors import ConfigError, EngineError
from lamm.memory import usable_cores
from tests.engine.standin_dassl import FILES, run, write_standin_dassl

SAY = "import lamm.engine as e; print(e.ENGINE.line())"
CHOOSE = """
import os, sys
import lamm.engine as e
from lamm.engine.choice import choose_engine
def choose(value, folder=None):
    os.environ["LAMM_ENGINE"] = value
    sys.path[:0] = [folder] if folder else []
    try:
        print(choose_engine().line())
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    if folder:
        sys.path.remove(folder)
    assert not [name for name in sys.modules if name.startswith("dassl")]
print(e.ENGINE.line())
"""


def lines(process):
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_upstream_that_is_missing_or_cannot_run_gives_way_unless_asked_for_by_name(tmp_path):
    if choice.is_installed():  # also by an editable install, which has a finder of its own
        pytest.skip("dassl is installed here")
    (tmp_path / "folder" / "dassl").mkdir(parents=True)  # a folder of that name is no package
    lacking = write_standin_dassl(tmp_path / "lacking", {"optim/__init__.py": "from . import lr_scheduler"})
    failing = write_standin_dassl(tmp_path / "failing", {"engine/__init__.py": "import a_requirement"})
    cases = f"""
choose("auto", {str(tmp_path / "folder")!r})
choose("dassl")
choose("dasl")
choose("auto", {str(lacking)!r})
choose("dassl", {str(lacking)!r})
choose("auto", {str(failing)!r})
choose("embedded", {str(failing)!r})
"""
    at_import, folder, by_name, wrong, lack, lack_by_name, fail, embedded = lines(run(CHOOSE + cases))
    assert at_import == folder == "Engine: embedded 0.1.0 (dassl is not installed)"
    assert by_name.startswith("EngineError: LAMM_ENGINE=dassl, but dassl is not installed")
    assert wrong == 'EngineError: LAMM_ENGINE is "dasl", but must be one of auto, dassl, embedded'
    assert lack.startswith("Engine: embedded 0.1.0 (the installed dassl can't run: ")
    assert lack.endswith("dassl.optim lacks build_optimizer, build_lr_scheduler)")
    assert lack_by_name.startswith("EngineError: LAMM_ENGINE=dassl, but the installed dassl can't run: ")
    assert "No module named 'a_requirement'" in fail
    assert embedded == "Engine: embedded 0.1.0 (LAMM_ENGINE=embedded)"


MENDED = """
import sys, io
import lamm.engine as e
print(e.ENGINE.line())
import dassl.engine, dassl.optim, torch, copy
assert e.TRAINER_REGISTRY is dassl.engine.TRAINER_REGISTRY
from lamm.engine import upstream as upstream_mending
upstream_mending.mend_after_import()
cfg = e.get_cfg_default().OPTIM
cfg.LR, cfg.MAX_EPOCH, cfg.WARMUP_EPOCH, cfg.WARMUP_CONS_LR = 0.002, 6, 1, 1e-5
def build():
    optimizer = dassl.optim.build_optimizer([torch.nn.Parameter(torch.zeros(1))], cfg)
    return optimizer, dassl.optim.build_lr_scheduler(optimizer, cfg)
def advance(optimizer, scheduler):
    optimizer.step(); scheduler.step(); return optimizer.param_groups[0]["lr"]
optimizer, scheduler = build()
rates = [advance(optimizer, scheduler) for _ in range(2)]
buffer = io.BytesIO(); torch.save([optimizer.state_dict(), scheduler.state_dict()], buffer); buffer.seek(0)
a, b = torch.load(buffer, weights_only=True)
optimizer, scheduler = build()
optimizer.load_state_dict(a); scheduler.load_state_dict(b)
rates += [advance(optimizer, scheduler) for _ in range(4)]
print(["%.6f" % rate for rate in rates])
from dassl.utils import Logger
tee = Logger(sys.argv[1] if len(sys.argv) > 1 else None)
print(tee.isatty(), tee.encoding == sys.stdout.encoding, tee.fileno() == sys.stdout.fileno())
tee.close(); del tee
print("stdout is open")
"""


def test_upstream_with_its_known_faults_is_mended_and_taken(tmp_path):
    done = run(MENDED, write_standin_dassl(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Engine: dassl 0.6.3 (installed, and it passed the probe)",
        str(["0.002000", "0.001866", "0.001500", "0.001000", "0.000500", "0.000134"]),
        "False True True",
        "stdout is open",
    ]


WILDS = {
    "data/datasets/dg/wilds/__init__.py": "from . import wilds_base",
    "data/datasets/dg/wilds/wilds_base.py": "import logging; logging.disable(logging.WARNING)",
}


def test_a_dassl_that_the_program_has_already_imported_is_used_mended_and_no_longer_silences_the_log(tmp_path):
    code = "import dassl.optim, dassl.data.datasets.dg.wilds, sys, logging\n" + SAY
    code += "\nassert sys.modules['dassl'].__path__; print(logging.root.manager.disable)"
    changed = {**WILDS, "data/datasets/__init__.py": FILES["data/datasets/__init__.py"].replace("import gdown", "")}
    done = run(code, write_standin_dassl(tmp_path, changed))
    assert done.stdout == "Engine: dassl 0.6.3 (already imported)\n0\n", done.stderr


EDITABLE = """
import sys
from importlib.util import spec_from_file_location
class EditableFinder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return spec_from_file_location(name, FOLDER + "/dassl/__init__.py") if name == "dassl" else None
sys.meta_path.append(EditableFinder)
import lamm.engine as e
from lamm.engine import aliases, choice
print(e.ENGINE.line())
if e.ENGINE.name == "embedded":
    aliases.install_aliases()
    print(choice.is_alias(), choice.is_installed())
"""


@pytest.mark.parametrize("value", ["auto", "embedded"])
def test_an_editable_install_is_found_also_beside_the_aliases(tmp_path, value):
    folder = write_standin_dassl(tmp_path)
    done = lines(run(f"import os; os.environ['LAMM_ENGINE'] = {value!r}; FOLDER = {str(folder)!r}" + EDITABLE))
    if value == "auto":
        assert done == ["Engine: dassl 0.6.3 (installed, and it passed the probe)"]
    else:
        assert done[1] == "True True"


SHADOW = """
import os, sys
import lamm.engine as e
from lamm.engine.aliases import install_aliases
def attempt():
    try:
        install_aliases()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
print(e.ENGINE.name)
attempt()
os.environ["LAMM_ENGINE"] = "embedded"
sys.modules["dassl"] = sys
attempt()
del sys.modules["dassl"]
attempt()
import dassl
print(dassl.__doc__)
"""


def test_the_embedded_engine_is_refused_in_a_program_that_has_imported_dassl(dassl, monkeypatch):
    monkeypatch.setenv("LAMM_ENGINE", "embedded")
    with pytest.raises(EngineError, match="LAMM_ENGINE=embedded, but this program has imported dassl already: unset"):
        choose_engine()


def test_aliases_hide_an_installed_dassl_only_when_embedded_is_asked_for(tmp_path):
    folder = write_standin_dassl(tmp_path, {"optim/__init__.py": "from . import lr_scheduler"})
    name, unasked, imported, asked = lines(run(SHADOW, folder))
    assert name == "embedded"
    assert unasked.startswith("EngineError: dassl is installed but not in use")
    assert "already imported" in imported
    assert asked == "The embedded engine's answer to `dassl`."


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


def test_own_images_are_read_as_the_embedded_engine_reads_them(module):
    cfg = get_cfg_default()
    cfg.DATASET.NAME = "ImageFolder"
    assert module.build_data_loader(cfg, dataset_wrapper=None)[2] == {"dataset_wrapper": DatasetWrapper}
    assert module.build_data_loader(cfg, dataset_wrapper=dict)[2] == {"dataset_wrapper": dict}
    cfg.DATASET.NAME = "Caltech101"
    assert module.build_data_loader(cfg)[2] == {}


@pytest.fixture
def nothing_imported(monkeypatch):
    """Without what other tests have imported as `dassl`, the aliases too; and what a test imports so is forgotten."""
    if ENGINE.name != "embedded":
        pytest.skip("upstream Dassl is in charge")
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "aliases" not in str(finder)])
    earlier = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in ("dassl", "gdown")}
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("dassl", "gdown")]:
        del sys.modules[name]
    sys.modules.update(earlier)


@pytest.fixture
def dassl(nothing_imported, tmp_path, monkeypatch):
    """The stand-in, imported and mended."""
    monkeypatch.syspath_prepend(write_standin_dassl(tmp_path / "upstream"))
    upstream.prepare()
    return sys.modules["dassl"]


def offered(name):
    return type(name, (), {"__module__": "lamm_trainers.coop"})


def test_an_offer_answers_until_a_checkout_registers_the_name_sooner_or_later(dassl, log_lines):
    for registry in (dassl.engine.TRAINER_REGISTRY, Registry("TRAINER")):
        earlier, later = type("CoOp", (), {}), type("MaPLe", (), {})
        registry.register(earlier)
        ours = [offered(name) for name in ("CoOp", "MaPLe", "LAMM")]
        for trainer in (*ours, *ours):
            registry.offer(trainer)
        assert registry.registered_names() == ["CoOp", "MaPLe", "LAMM"]
        assert registry.get("MaPLe") is ours[1]
        assert registry.register()(later) is later
        assert [registry.get(name) for name in ("CoOp", "MaPLe", "LAMM", "CoOp")] == [earlier, later, ours[2], earlier]
        with pytest.raises(KeyError, match='"VPT" does not exist in "TRAINER"'):
            registry.get("VPT")
    told = [f'"{name}" is that of {__name__}, not that of lamm_trainers.coop' for name in ("CoOp", "MaPLe")]
    assert log_lines == told * 2


def resumable(dassl, folder, epochs, stop=None):
    """A trainer whose every step draws from all generators; it raises before epoch `stop`."""
    cfg = get_cfg_default()
    cfg.OUTPUT_DIR, cfg.OPTIM.MAX_EPOCH, cfg.TRAIN.CHECKPOINT_FREQ = str(folder), epochs, 1
    cfg.OPTIM.LR, cfg.OPTIM.WARMUP_EPOCH, cfg.TEST.FINAL_MODEL = 0.1, 1, "best_val"

    class Resumable(dassl.engine.TrainerX):
        def build_model(self):
            torch.manual_seed(0)
            self.model = torch.nn.Linear(2, 1)
            self.optim = dassl.optim.build_optimizer(self.model.parameters(), self.cfg.OPTIM)
            self.sched = dassl.optim.build_lr_scheduler(self.optim, self.cfg.OPTIM)
            self.register_model("learner", self.model, self.optim, self.sched)

        def forward_backward(self, batch):
            if self.epoch == stop:
                raise InterruptedError
            self.model(torch.randn(4, 2) * random.random() + np.random.rand()).square().sum().backward()
            self.optim.step()
            self.optim.zero_grad()

        def test(self, split=None):
            return [3.0, 1.0, 2.0, 1.0][self.epoch]  # 2.0 beats 1.0, but not what was best before

    random.seed(0), np.random.seed(0)
    return Resumable(cfg)


def test_a_run_on_upstream_resumes_exactly_and_keeps_its_best_result(dassl, tmp_path):
    whole = resumable(dassl, tmp_path / "whole", 4)
    whole.train()
    with pytest.raises(InterruptedError):
        resumable(dassl, tmp_path / "resumed", 4, stop=2).train()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    resumed = resumable(dassl, tmp_path / "resumed", 4)
    resumed.train()
    assert (resumed.start_epoch, resumed.best_result) == (2, 3.0)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert resumed.optim.state_dict()["param_groups"] == whole.optim.state_dict()["param_groups"]
    best = torch.load(tmp_path / "resumed" / "learner" / "model-best.pth.tar", weights_only=True)
    assert (best["epoch"], best["val_result"]) == (1, 3.0)


def test_a_checkpoint_on_upstream_that_is_cut_short_leaves_the_last_one_and_the_pointer(dassl, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    trainer = resumable(dassl, folder, 1)
    trainer.train()
    before = {path.name: path.read_bytes() for path in (folder / "learner").iterdir()}

    def cut_short(file, content):
        file.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", cut_short)
    for options in ({}, {"model_name": "model-best.pth.tar"}):
        with pytest.raises(OSError, match="No space"):
            trainer.save_model(0, str(folder), **options)
    assert {path.name: path.read_bytes() for path in (folder / "learner").iterdir()} == before
    trainer.load_model(str(folder), epoch=1)  # upstream's own fails on a file without val_result


def test_a_fork_that_lacks_only_names_that_we_do_not_use_is_taken(nothing_imported, tmp_path, monkeypatch):
    changed = {"metrics/__init__.py": "", "data/transforms/__init__.py": "def build_transform(cfg): pass"}
    changed["utils/__init__.py"] = FILES["utils/__init__.py"].split("class AverageMeter")[0]
    monkeypatch.syspath_prepend(write_standin_dassl(tmp_path, changed))
    assert upstream.prepare() == "0.6.3"
