"""Where a run lies: `output/<dataset>/shots_<n>/<Trainer>/<cfg>/seed<k>`, overrides in the name of the config."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.run.settings import FLAGS

# The rest of the path, or the config stored in the folder, tells these.
TOLD_ELSEWHERE = {FLAGS[name] for name in ("trainer", "seed", "shots", "root", "csv", "output_dir", "resume")} | {
    "INPUT.CACHE_DIR",
    "INPUT.CACHE_GB",
    "INCREMENTAL.STEP",
}
LONGEST = 120


def output_folder(
    dataset: str, shots: int, trainer: str, cfg_name: str, seed: int, eval_only: bool = False, step: int = 0
) -> Path:
    """The folder of a run; `evaluation` in front for runs that only test, `incremental` for steps, which end it."""
    shots_name = f"shots_{shots}" if shots >= 1 else "shots_all"
    start = Path("output", "evaluation") if eval_only else Path("output", "incremental") if step else Path("output")
    folder = start / dataset / shots_name / trainer / cfg_name / f"seed{seed}"
    return folder / step_folder(step) if step else folder


def step_folder(step: int) -> str:
    """Name of the folder of a step of class-incremental learning, below its seed."""
    return f"step{step}"


def override_suffix(pairs: Iterable[tuple[str, Any]], cfg: CfgNode) -> str:
    """`+KEY=VALUE` for each override, each KEY as short as it can be without meaning another key of `cfg`.

    What a folder's name can't hold becomes `_`, and a hash of the whole keeps different overrides apart.
    """
    known = list(_full_keys(cfg))
    parts = [(_shortest(key, known), _text(value)) for key, value in pairs if key not in TOLD_ELSEWHERE]
    exact = "".join(f"+{name}={value}" for name, value in parts)
    plain = "".join(f"+{name}=" + re.sub(r"[^A-Za-z0-9._=-]+", "_", value) for name, value in parts)
    if plain == exact and len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:6]}"


def _full_keys(node: CfgNode, start: str = "") -> Iterator[str]:
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from _full_keys(value, f"{start}{name}.")
        else:
            yield f"{start}{name}"


def _shortest(key: str, known: list[str]) -> str:
    parts = key.split(".")
    for count in range(1, len(parts)):
        ending = ".".join(parts[-count:])
        if sum(other == ending or other.endswith(f".{ending}") for other in known) <= 1:
            return ending
    return key


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
