"""LAMM's trainers for the Dassl engine; installed as `lamm_trainers`.

A checkout of the CoOp family gets them with two lines in its train.py (README.md shows where):

    import lamm_trainers
    lamm_trainers.extend_cfg(cfg)

Importing offers every trainer to the engine: one that the checkout registers under the same name, sooner or later, is
the one that runs.
"""

# ruff: noqa: E402
from lamm.errors import end_with_one_line

end_with_one_line()  # an engine that can't run is such an error, and imports below choose the engine

from lamm.engine import TRAINER_REGISTRY

from .cocoop import CoCoOp, CoCoOp_LAMM
from .config import extend_cfg
from .coop import CoOp, CoOp_LAMM
from .gda import GDA
from .lamm import LAMM
from .linear_probe import LinearProbe
from .maple import MaPLe, MaPLe_LAMM
from .nearest_mean import NearestMean
from .ranpac import RanPAC
from .tip_adapter import TipAdapter, TipAdapterF
from .zero_shot import ZeroshotCLIP

HEADS = (LinearProbe, TipAdapter, TipAdapterF, GDA, NearestMean, RanPAC)
TRAINERS = (ZeroshotCLIP, *HEADS, CoOp, CoCoOp, MaPLe, LAMM, CoOp_LAMM, CoCoOp_LAMM, MaPLe_LAMM)


for trainer in TRAINERS:
    TRAINER_REGISTRY.offer(trainer)

__all__ = [
    "GDA",
    "LAMM",
    "TRAINERS",
    "CoCoOp",
    "CoCoOp_LAMM",
    "CoOp",
    "CoOp_LAMM",
    "LinearProbe",
    "MaPLe",
    "MaPLe_LAMM",
    "NearestMean",
    "RanPAC",
    "TipAdapter",
    "TipAdapterF",
    "ZeroshotCLIP",
    "extend_cfg",
]
