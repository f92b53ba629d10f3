"""LAMM's trainers for the Dassl engine; installed as `lamm_trainers`.

A checkout of the CoOp family gets them with two lines in its train.py, before the config files are merged:

    import lamm_trainers
    lamm_trainers.extend_cfg(cfg)

Importing registers every trainer whose name is still free.
"""

from lamm.engine import TRAINER_REGISTRY
from lamm.log import logger

from .cocoop import CoCoOp, CoCoOp_LAMM
from .config import extend_cfg
from .coop import CoOp, CoOp_LAMM
from .lamm import LAMM
from .maple import MaPLe, MaPLe_LAMM
from .zero_shot import ZeroshotCLIP

TRAINERS = (ZeroshotCLIP, CoOp, CoCoOp, MaPLe, LAMM, CoOp_LAMM, CoCoOp_LAMM, MaPLe_LAMM)


def register_trainers() -> None:
    """Register our trainers; a name that is taken is left alone, and the log says so."""
    taken = set(TRAINER_REGISTRY.registered_names())
    for trainer in TRAINERS:
        if trainer.__name__ not in taken:
            TRAINER_REGISTRY.register(trainer)
        elif TRAINER_REGISTRY.get(trainer.__name__) is not trainer:
            logger.info('trainer "%s" is registered already, by other code: left alone', trainer.__name__)


register_trainers()

__all__ = [
    "LAMM",
    "TRAINERS",
    "CoCoOp",
    "CoCoOp_LAMM",
    "CoOp",
    "CoOp_LAMM",
    "MaPLe",
    "MaPLe_LAMM",
    "ZeroshotCLIP",
    "extend_cfg",
    "register_trainers",
]
