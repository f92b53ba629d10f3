"""LAMM's trainers for the Dassl engine; installed as `lamm_trainers`.

A checkout of the CoOp family gets them with two lines in its train.py (README.md shows where):

    import lamm_trainers
    lamm_trainers.extend_cfg(cfg)

Importing offers every trainer to the engine: one that the checkout registers under the same name, sooner or later, is
the one that runs. A trainer's own module is imported when the trainer is asked for.
"""

# ruff: noqa: E402
from lamm.errors import end_with_one_line

end_with_one_line()  # an engine that can't run is such an error, and imports below choose the engine

import importlib
from typing import TYPE_CHECKING, Any

from lamm.engine import TRAINER_REGISTRY
from lamm.engine.embedded.registry import Later

from .config import extend_cfg
from .traits import HEADS as _HEADS
from .traits import TRAITS

if TYPE_CHECKING:
    from .base import PromptTrainer
    from .clip_lora import CLIPLoRA
    from .cocoop import CoCoOp, CoCoOp_LAMM
    from .coop import CoOp, CoOp_LAMM
    from .gda import GDA
    from .kgcoop import KgCoOp, KgCoOp_LAMM
    from .lamm import LAMM
    from .lamm_gda import LAMM_GDA, TopLAMM_GDA
    from .linear_probe import LinearProbe
    from .maple import MaPLe, MaPLe_LAMM
    from .nearest_mean import NearestMean
    from .promptsrc import PromptSRC, PromptSRC_LAMM
    from .ranpac import RanPAC
    from .tip_adapter import TipAdapter, TipAdapterF
    from .top_lamm import TopLAMM
    from .zero_shot import ZeroshotCLIP

    HEADS: tuple[type[PromptTrainer], ...]
    TRAINERS: tuple[type[PromptTrainer], ...]

_GROUPS = {"HEADS": _HEADS, "TRAINERS": TRAITS}

for _name, _traits in TRAITS.items():
    TRAINER_REGISTRY.offer(Later(f"{__name__}.{_traits.module}", _name, _traits.attributes()))


def __getattr__(name: str) -> Any:
    """A trainer, or a tuple of them, imported when it is first asked for."""
    if name in TRAITS:
        value: Any = getattr(importlib.import_module(f"{__name__}.{TRAITS[name].module}"), name)
    elif name in _GROUPS:
        value = tuple(map(__getattr__, _GROUPS[name]))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next time it is found without this function
    return value


__all__ = [
    "GDA",
    "HEADS",
    "LAMM",
    "LAMM_GDA",
    "TRAINERS",
    "CLIPLoRA",
    "CoCoOp",
    "CoCoOp_LAMM",
    "CoOp",
    "CoOp_LAMM",
    "KgCoOp",
    "KgCoOp_LAMM",
    "LinearProbe",
    "MaPLe",
    "MaPLe_LAMM",
    "NearestMean",
    "PromptSRC",
    "PromptSRC_LAMM",
    "RanPAC",
    "TipAdapter",
    "TipAdapterF",
    "TopLAMM",
    "TopLAMM_GDA",
    "ZeroshotCLIP",
    "extend_cfg",
]
