"""The embedded engine under the module names of Dassl, in this process only.

Code written for Dassl (`from dassl.engine import TrainerX`) then runs on the embedded engine. Nothing is installed:
the modules exist in `sys.modules`. A name that the engine lacks is an error that says so.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from lamm.engine import ENGINE
from lamm.engine.choice import ALIAS_MARK, VARIABLE, is_alias, is_installed, requested_engine
from lamm.errors import EngineError

TOOLS = ("set_random_seed", "mkdir_if_missing", "check_isfile", "read_json", "write_json", "listdir_nohidden")

# The names of each Dassl module, by the module of the embedded engine (or the library) that has them. Beyond the
# packages' own names, it holds what code of the CoOp family imports from deeper places.
ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "dassl": {},
    "dassl.engine": {
        ".registry": ("TRAINER_REGISTRY", "build_trainer"),
        ".trainer": ("TrainerBase", "SimpleTrainer", "TrainerX"),
    },
    "dassl.engine.trainer": {
        ".trainer": ("TrainerBase", "SimpleTrainer", "TrainerX"),
        ".meters": ("MetricMeter", "AverageMeter"),
        "torch.utils.tensorboard": ("SummaryWriter",),
    },
    "dassl.data": {".data_manager": ("DataManager", "DatasetWrapper")},
    "dassl.data.data_manager": {
        ".data_manager": ("DataManager", "DatasetWrapper", "build_data_loader"),
        ".transforms": ("build_transform",),
    },
    "dassl.data.datasets": {".registry": ("DATASET_REGISTRY", "build_dataset"), ".datum": ("Datum", "DatasetBase")},
    "dassl.data.datasets.base_dataset": {".datum": ("Datum", "DatasetBase")},
    "dassl.data.samplers": {
        ".data_manager": ("build_sampler", "RandomDomainSampler", "SeqDomainSampler"),
        "torch.utils.data.sampler": ("RandomSampler", "SequentialSampler"),
    },
    "dassl.data.transforms": {".transforms": ("build_transform", "INTERPOLATION_MODES")},
    "dassl.evaluation": {".evaluation": ("EVALUATOR_REGISTRY", "build_evaluator", "EvaluatorBase", "Classification")},
    "dassl.optim": {".optim": ("build_optimizer", "build_lr_scheduler")},
    "dassl.optim.lr_scheduler": {
        ".optim": ("ConstantWarmupScheduler", "LinearWarmupScheduler", "build_lr_scheduler"),
    },
    "dassl.optim.radam": {".optim": ("RAdam",)},
    "dassl.metrics": {".evaluation": ("compute_accuracy",)},
    "dassl.config": {".config": ("get_cfg_default", "clean_cfg", "cfg_default")},
    "dassl.utils": {
        ".registry": ("Registry", "check_availability"),
        ".log": ("Logger", "setup_logger"),
        ".meters": ("AverageMeter", "MetricMeter"),
        ".dassl_utils": (*TOOLS, "collect_env_info", "load_pretrained_weights", "count_num_param"),
        ".decoding": ("read_image",),
        ".checkpoint": ("save_checkpoint", "load_checkpoint", "resume_from_checkpoint"),
    },
    "dassl.utils.tools": {".dassl_utils": TOOLS},
}


def install_aliases() -> None:
    """Let `dassl` and its modules answer with the embedded engine; a second call changes nothing.

    Raises:
        EngineError: Upstream is in charge, or an installed or imported dassl would be hidden without being asked to.
    """
    if is_alias():
        return
    if ENGINE.name != "embedded":
        raise EngineError("dassl runs itself in this process; its names need no aliases")
    if "dassl" in sys.modules:
        raise EngineError("dassl is already imported; it can't be replaced by the embedded engine in this process")
    if is_installed() and requested_engine() != "embedded":
        raise EngineError(
            f"dassl is installed but not in use ({ENGINE.reason}); "
            f"with {VARIABLE}=embedded the embedded engine answers in its place"
        )
    for name, sources in ALIASES.items():
        module = _AliasModule(name, sources)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    vars(sys.modules["dassl"])["__version__"] = ENGINE.version
    sys.meta_path.insert(0, _MissingModules())


class _AliasModule(ModuleType):
    """A module of Dassl whose names are looked up in the embedded engine when they are asked for."""

    def __init__(self, name: str, sources: dict[str, tuple[str, ...]]) -> None:
        super().__init__(name, f"The embedded engine's answer to `{name}`.")
        self.__path__: list[str] = []
        self.__spec__ = ModuleSpec(name, loader=None, is_package=True)
        self.__all__ = [exported for names in sources.values() for exported in names]
        setattr(self, ALIAS_MARK, True)
        self._sources = {exported: source for source, names in sources.items() for exported in names}

    def __getattr__(self, name: str) -> Any:
        source = vars(self).get("_sources", {}).get(name)
        if source is None:
            raise AttributeError(_lacks(f"{self.__name__}.{name}"))
        value = getattr(importlib.import_module(source, "lamm.engine.embedded"), name)
        setattr(self, name, value)
        return value


class _MissingModules(MetaPathFinder):
    """Turns the import of a name or module that the engine lacks into an error that says so."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname.startswith("dassl.") and is_alias():
            # A ModuleNotFoundError would be dropped by `from module import name`, and its text with it.
            raise ImportError(_lacks(fullname), name=fullname)


def _lacks(name: str) -> str:
    return f"the embedded engine does not have {name}; it needs Dassl itself ({VARIABLE}=dassl)"
