"""What the path of a run's folder says about the run."""

import re
from pathlib import PurePath
from typing import NamedTuple

_SEED = re.compile(r"seed_?(-?\d+)")
_SHOTS = re.compile(r"shots_(-?\d+)")
_CFG_SHOTS = re.compile(r"(.+)_(\d+)shots")


class GroupKey(NamedTuple):
    """What runs that differ in nothing but the seed have in common.

    `shots` is None, and `trainer` and `cfg` are empty, where a path is of no known layout; `dataset` is then the path.
    """

    dataset: str
    shots: int | None
    trainer: str
    cfg: str
    protocol: str
    split: str


def seed_of(folder: PurePath) -> int | None:
    """The seed in the name of a seed folder (`seed1`), None for any other folder."""
    match = _SEED.fullmatch(folder.name)
    return int(match.group(1)) if match else None


def key_from_path(folder: PurePath, base: PurePath, split: str = "test") -> GroupKey:
    """The group that a run's path names.

    Two layouts are known, and what stands before them below `base` is the protocol:

    - `<dataset>/shots_<n>/<trainer>/<cfg>/seed<k>`
    - `<dataset>/<trainer>/<cfg>_<n>shots/<variant>/seed<k>` (CoOp), whose cfg is `<cfg>/<variant>` here.

    Args:
        folder: The run's folder, absolute.
        base: The folder that paths in labels are relative to.
        split: What the metrics were measured on.
    """
    parts = folder.parts
    if seed_of(folder) is not None and len(parts) > 5:
        dataset, second, third, fourth = parts[-5:-1]
        protocol = _relative(PurePath(*parts[:-5]), base)
        if shots := _SHOTS.fullmatch(second):
            return GroupKey(dataset, int(shots.group(1)), third, fourth, protocol, split)
        if cfg := _CFG_SHOTS.fullmatch(third):
            return GroupKey(dataset, int(cfg.group(2)), second, f"{cfg.group(1)}/{fourth}", protocol, split)
    experiment = folder if seed_of(folder) is None else folder.parent
    return GroupKey(_relative(experiment, base) or experiment.name, None, "", "", "", split)


def _relative(path: PurePath, base: PurePath) -> str:
    """`path` below `base`, empty when it is `base` or not below it."""
    if path == base or not path.is_relative_to(base):
        return ""
    return path.relative_to(base).as_posix()


def shots_in_words(shots: int) -> str:
    """`1 shot`, `16 shots`, `all shots`."""
    return f"{shots} shot{'' if shots == 1 else 's'}" if shots >= 1 else "all shots"
