"""Which engine runs, and that upstream's faults are mended from outside; each choice in a process of its own."""

import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.data_manager import DatasetWrapper
from lamm.engine.embedded.loader import usable_cores
from lamm.engine.upstream import mend_loaders
from lamm.errors import ConfigError

ROOT = Path(__file__).parents[2]


def run(code, *folders):
    """Run Python code with the folders first on its path, LAMM_ENGINE unset; the finished process."""
    environment = {name: value for name, value in os.environ.items() if name != "LAMM_ENGINE"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*folders, ROOT]))
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd="/")


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
    if importlib.machinery.PathFinder.find_spec("dassl") is not None:
        pytest.skip("dassl is installed here")
    (tmp_path / "folder" / "dassl").mkdir(parents=True)  # a folder of that name is no package
    lacking = write_standin_dassl(tmp_path / "lacking", {"metrics/__init__.py": ""})
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
    assert lack.endswith("dassl.metrics lacks compute_accuracy)")
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
from lamm.engine import aliases, upstream
print(e.ENGINE.line())
if e.ENGINE.name == "embedded":
    aliases.install_aliases()
    print(upstream.is_alias(), upstream.is_installed())
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


def test_aliases_hide_an_installed_dassl_only_when_embedded_is_asked_for(tmp_path):
    folder = write_standin_dassl(tmp_path, {"metrics/__init__.py": ""})
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


FILES = {
    "__init__.py": '__version__ = "0.6.3"\n',
    "config.py": """
        from lamm.engine.embedded.config import get_cfg_default
        from lamm.engine.embedded.config import clean_cfg
        from lamm.engine.embedded.config import cfg_default
    """,
    "utils/__init__.py": """
        from .logger import Logger, setup_logger
        class Registry: pass
        class AverageMeter: pass
        class MetricMeter: pass
        def mkdir_if_missing(path): pass
        check_isfile = read_json = write_json = set_random_seed = collect_env_info = mkdir_if_missing
        listdir_nohidden = save_checkpoint = load_checkpoint = load_pretrained_weights = mkdir_if_missing
        count_num_param = mkdir_if_missing
    """,
    "utils/logger.py": """
        import os, sys
        class Logger:
            def __init__(self, fpath=None):
                self.console = sys.stdout
                self.file = None if fpath is None else open(fpath, "w")
            def __del__(self):
                self.close()
            def __exit__(self, *args):
                self.close()
            def write(self, msg):
                self.console.write(msg)
                if self.file is not None:
                    self.file.write(msg)
            def flush(self):
                self.console.flush()
                if self.file is not None:
                    self.file.flush()
                    os.fsync(self.file.fileno())
            def close(self):
                self.console.close()
                if self.file is not None:
                    self.file.close()
        def setup_logger(output=None):
            sys.stdout = Logger(output)
    """,
    "optim/__init__.py": """
        import torch
        from .lr_scheduler import build_lr_scheduler
        def build_optimizer(model, optim_cfg, param_groups=None):
            return torch.optim.SGD(model, lr=optim_cfg.LR, momentum=optim_cfg.MOMENTUM)
    """,
    "optim/lr_scheduler.py": """
        import torch
        from torch.optim.lr_scheduler import _LRScheduler
        class _BaseWarmupScheduler(_LRScheduler):
            def __init__(self, optimizer, successor, warmup_epoch, last_epoch=-1, verbose=False):
                self.successor = successor
                self.warmup_epoch = warmup_epoch
                super().__init__(optimizer, last_epoch, verbose)
            def step(self, epoch=None):
                if self.last_epoch >= self.warmup_epoch:
                    self.successor.step(epoch)
                    self._last_lr = self.successor.get_last_lr()
                else:
                    super().step(epoch)
        class ConstantWarmupScheduler(_BaseWarmupScheduler):
            def __init__(self, optimizer, successor, warmup_epoch, cons_lr, last_epoch=-1, verbose=False):
                self.cons_lr = cons_lr
                super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)
            def get_lr(self):
                if self.last_epoch >= self.warmup_epoch:
                    return self.successor.get_last_lr()
                return [self.cons_lr for _ in self.base_lrs]
        def build_lr_scheduler(optimizer, cfg):
            successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(cfg.MAX_EPOCH))
            return ConstantWarmupScheduler(optimizer, successor, cfg.WARMUP_EPOCH, cfg.WARMUP_CONS_LR)
    """,
    "data/__init__.py": "from .data_manager import DataManager, DatasetWrapper\n",
    "data/data_manager.py": """
        from .datasets import build_dataset
        class DataManager: pass
        class DatasetWrapper: pass
        def build_data_loader(): pass
    """,
    "data/datasets/__init__.py": """
        import gdown
        from .dg import *
        class DATASET_REGISTRY: pass
        class Datum: pass
        class DatasetBase: pass
        def build_dataset(cfg): pass
    """,
    "data/datasets/dg/__init__.py": "from .wilds import *\n",
    "data/datasets/dg/wilds/__init__.py": "import wilds_that_is_not_installed\n",
    "data/transforms/__init__.py": """
        import numpy as np
        assert np.int(1.5) == 1
        INTERPOLATION_MODES = {}
        def build_transform(cfg): pass
    """,
    "evaluation/__init__.py": """
        class EVALUATOR_REGISTRY: pass
        class EvaluatorBase: pass
        class Classification: pass
        def build_evaluator(cfg): pass
    """,
    "metrics/__init__.py": "def compute_accuracy(output, target): pass\n",
    "engine/__init__.py": """
        import dassl.data
        class TRAINER_REGISTRY: pass
        class TrainerBase: pass
        class SimpleTrainer(TrainerBase): pass
        class TrainerX(SimpleTrainer): pass
        def build_trainer(cfg): pass
    """,
}


def write_standin_dassl(folder: Path, changed: Mapping[str, str] | None = None) -> Path:
    """Write the package into `folder`, with other content for the files in `changed`; the folder."""
    for name, text in {**FILES, **(changed or {})}.items():
        path = folder / "dassl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        path.write_text("\n".join(line[indent:] for line in lines) + "\n")
    return folder
