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
from typing import Any, NoReturn

from lamm.engine import ENGINE, upstream
from lamm.engine.choice import VARIABLE, requested_engine
from lamm.errors import EngineError

_EMBEDDED = "lamm.engine.embedded"
_ALIASES: dict[str, dict[str, tuple[str, ...]]] = {
    "dassl": {},
    "dassl.engine": {
        "registry": ("TRAINER_REGISTRY", "build_trainer"),
        "trainer": ("TrainerBase", "SimpleTrainer", "TrainerX"),
        "modeling": ("SimpleNet",),
    },
    "dassl.data": {"data_manager": ("DataManager", "DatasetWrapper")},
    "dassl.data.data_manager": {"data_manager": ("DataManager", "DatasetWrapper", "build_data_loader")},
    "dassl.data.datasets": {"registry": ("DATASET_REGISTRY", "build_dataset"), "datum": ("Datum", "DatasetBase")},
    "dassl.data.datasets.base_dataset": {"datum": ("Datum", "DatasetBase")},
    "dassl.data.samplers": {"data_manager": ("build_sampler", "RandomClassSampler")},
    "dassl.data.transforms": {"transforms": ("build_transform", "INTERPOLATION_MODES")},
    "dassl.evaluation": {"evaluation": ("EVALUATOR_REGISTRY", "build_evaluator", "EvaluatorBase", "Classification")},
    "dassl.optim": {"optim": ("build_optimizer", "build_lr_scheduler")},
    "dassl.metrics": {
        "evaluation": ("compute_accuracy", "compute_distance_matrix", "cosine_distance", "euclidean_squared_distance")
    },
    "dassl.config": {"config": ("get_cfg_default", "clean_cfg", "cfg_default")},
    "dassl.modeling": {
        "modeling": (
            "BACKBONE_REGISTRY",
            "HEAD_REGISTRY",
            "NETWORK_REGISTRY",
            "build_backbone",
            "build_head",
            "build_network",
        )
    },
    "dassl.utils": {
        "registry": ("Registry", "check_availability"),
        "log": ("Logger", "setup_logger", "AverageMeter", "MetricMeter"),
        "seeding": ("set_random_seed",),
        "dassl_utils": (
            "collect_env_info",
            "download_url",
            "mkdir_if_missing",
            "check_isfile",
            "read_json",
            "write_json",
            "listdir_nohidden",
            "get_most_similar_str_to_a_from_b",
            "tolist_if_not",
            "load_pretrained_weights",
            "count_num_param",
            "open_all_layers",
            "open_specified_layers",
            "init_network_weights",
        ),
        "decoding": ("read_image",),
        "checkpoint": ("save_checkpoint", "load_checkpoint", "resume_from_checkpoint"),
    },
}


class _LackingNames(MetaPathFinder):
    """Turns the import of a name or module that the engine lacks into an error that says so."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname.startswith("dassl.") and upstream.is_alias():
            # A ModuleNotFoundError would be dropped by `from module import name`, and its text with it.
            raise ImportError(_lacks(fullname), name=fullname)


def install_aliases() -> None:
    """Let `dassl` and its modules answer with the embedded engine; a second call changes nothing.

    Raises:
        EngineError: Upstream is in charge, or an installed or imported dassl would be hidden without being asked to.
    """
    if upstream.is_alias():
        return
    if ENGINE.name != "embedded":
        raise EngineError("dassl runs itself in this process; its names need no aliases")
    if "dassl" in sys.modules:
        raise EngineError("dassl is already imported; it can't be replaced by the embedded engine in this process")
    if upstream.is_installed() and requested_engine() != "embedded":
        raise EngineError(
            f"dassl is installed but not in use ({ENGINE.reason}); "
            f"with {VARIABLE}=embedded the embedded engine answers in its place"
        )
    for name, sources in _ALIASES.items():
        _install(name, sources)
    sys.meta_path.insert(0, _LackingNames())


def _install(name: str, sources: dict[str, tuple[str, ...]]) -> None:
    module = ModuleType(name, f"The embedded engine's answer to `{name}`.")
    module.__path__ = []
    for source, exported in sources.items():
        found = importlib.import_module(f"{_EMBEDDED}.{source}")
        for exported_name in exported:
            setattr(module, exported_name, getattr(found, exported_name))
    vars(module)["__all__"] = [export for exported in sources.values() for export in exported]
    vars(module)["__getattr__"] = _lacking_attribute(name)
    setattr(module, upstream.ALIAS_MARK, True)
    module.__spec__ = ModuleSpec(name, loader=None, is_package=True)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    else:
        vars(module)["__version__"] = ENGINE.version


def _lacking_attribute(module: str) -> Any:
    def __getattr__(name: str) -> NoReturn:
        raise AttributeError(_lacks(f"{module}.{name}"))

    return __getattr__


def _lacks(name: str) -> str:
    return f"the embedded engine does not have {name}; it needs Dassl itself ({VARIABLE}=dassl)"
