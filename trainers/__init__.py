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

from .clip_lora import CLIPLoRA
from .cocoop import CoCoOp, CoCoOp_LAMM
from .config import extend_cfg
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

PROMPTS = (CoOp, CoCoOp, MaPLe, KgCoOp, PromptSRC)
ALIGNED = (LAMM, CoOp_LAMM, CoCoOp_LAMM, MaPLe_LAMM, KgCoOp_LAMM, PromptSRC_LAMM)
HEADS = (LinearProbe, TipAdapter, TipAdapterF, GDA, NearestMean, RanPAC)
TUNED = (CLIPLoRA, TopLAMM)
BOTH = (LAMM_GDA, TopLAMM_GDA)
TRAINERS = (ZeroshotCLIP, *PROMPTS, *ALIGNED, *HEADS, *TUNED, *BOTH)

for trainer in TRAINERS:
    TRAINER_REGISTRY.offer(trainer)

__all__ = [
    "GDA",
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
