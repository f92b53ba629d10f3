"""Few-shot curves: which groups of runs form one line of accuracy over shots, and what the line is called."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lamm.results.groups import Groups, Run, natural
from lamm.results.layout import GroupKey
from lamm.results.statistic import Statistic, metric_over

ZERO_SHOT_TRAINER = "ZeroshotCLIP"
ALL_SHOTS = -1


@dataclass(frozen=True)
class Curve:
    """One line of a plot.

    Attributes:
        trainer: Name of the trainer.
        label: The trainer, and what sets this line apart from the trainer's others.
        points: Percent over seeds by number of shots, in ascending order; `ALL_SHOTS` comes last, 0 is zero-shot.
        runs: The runs behind each point.
    """

    trainer: str
    label: str
    points: dict[int, Statistic]
    runs: dict[int, list[Run]] = field(default_factory=dict)

    @property
    def zero_shot(self) -> bool:
        """Whether this is a method without training, which has one value whatever the shots."""
        return list(self.points) == [0]


class _Line(NamedTuple):
    trainer: str
    overrides: str
    cfg: str
    protocol: str
    split: str


def curves(groups: Groups, metric: str = "accuracy") -> dict[str, list[Curve]]:
    """The curves of each data set, zero-shot first.

    A run of `ZeroshotCLIP` has 0 shots, whatever number it was started with. Groups whose shots are not known, or that
    lack the metric, are left out; `without_point` names them.

    Args:
        groups: Finished runs.
        metric: Name of the metric.
    """
    lines: dict[str, dict[_Line, dict[int, list[Run]]]] = {}
    for key, runs in groups.items():
        shots = _shots(key)
        if shots is not None and metric_over(runs, metric):
            points = lines.setdefault(key.dataset, {}).setdefault(_line(key), {})
            points.setdefault(shots, []).extend(runs)
    return {dataset: _labelled(members, metric) for dataset, members in lines.items()}


def without_point(groups: Groups, metric: str = "accuracy") -> list[GroupKey]:
    """The groups that `curves` leaves out."""
    return [key for key, runs in groups.items() if _shots(key) is None or not metric_over(runs, metric)]


def ascending(shots: Iterable[int]) -> list[int]:
    """Numbers of shots in ascending order, `ALL_SHOTS` last."""
    return sorted(shots, key=lambda number: math.inf if number == ALL_SHOTS else number)


def _shots(key: GroupKey) -> int | None:
    if key.trainer == ZERO_SHOT_TRAINER:
        return 0
    return key.shots if key.shots is None or key.shots > 0 else ALL_SHOTS


def _line(key: GroupKey) -> _Line:
    cfg, _, overrides = key.cfg.partition("+")
    return _Line(key.trainer, overrides.replace("+", ", "), cfg, key.protocol, key.split)


def _labelled(lines: dict[_Line, dict[int, list[Run]]], metric: str) -> list[Curve]:
    found = []
    for line, points in lines.items():
        statistics = {shots: metric_over(runs, metric) for shots, runs in points.items()}
        known = {shots: value for shots, value in statistics.items() if value is not None}
        ordered = {shots: known[shots] for shots in ascending(known)}
        found.append(Curve(line.trainer, _label(line, lines), ordered, {shots: points[shots] for shots in ordered}))
    return sorted(found, key=lambda curve: (not curve.zero_shot, natural(curve.label)))


def _label(line: _Line, lines: Iterable[_Line]) -> str:
    """The trainer, its overrides, and of the rest of the line what differs between the trainer's lines."""
    peers = [peer for peer in lines if peer.trainer == line.trainer]
    rest = [getattr(line, name) for name in ("cfg", "protocol", "split") if _differs(peers, name)]
    remarks = [remark for remark in (line.overrides, *rest) if remark]
    return f"{line.trainer} ({', '.join(remarks)})" if remarks else line.trainer


def _differs(peers: Sequence[_Line], name: str) -> bool:
    return len({getattr(peer, name) for peer in peers}) > 1
