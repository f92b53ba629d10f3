"""Runs put together that differ only in the seed, and what is wrong with them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lamm.results.layout import GroupKey, shots_in_words


@dataclass(frozen=True)
class Run:
    """One run that was found.

    Attributes:
        folder: Where it lies.
        key: The group it belongs to.
        seed: Its seed, None when neither a file nor the folder's name says it.
        key_from_path: Whether `key` was read off the path, for want of a results.json there or beside it that says it.
        unfinished: Why it has no result; empty for a finished run.
        metrics: Percent by name, see `lamm.results.schema`; a log may have fewer.
        trainable_parameters: Number of trained scalars, None when not known.
        seconds_train: Seconds of training, None when not known.
    """

    folder: Path
    key: GroupKey
    seed: int | None
    key_from_path: bool = False
    unfinished: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    trainable_parameters: int | None = None
    seconds_train: float | None = None


Groups = dict[GroupKey, list[Run]]


class RunGroups:
    """Runs by group; the groups, and the runs within them, are sorted naturally (2 before 10).

    Attributes:
        all: Every group with every run, the unfinished ones included.
        finished: The groups with their finished runs alone; a group without any is left out.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        """Group `runs`."""
        self.all: Groups = {}
        self.finished: Groups = {}
        for run in sorted(runs, key=_order):
            self.all.setdefault(run.key, []).append(run)
            if not run.unfinished:
                self.finished.setdefault(run.key, []).append(run)

    def problems(self, seeds: Sequence[int] | None = None) -> list[str]:
        """One line for each run that is unfinished, missing, or there twice.

        Args:
            seeds: The seeds that each group must have. Without them, a group must have all seeds that any group of the
                same trainer and number of shots has.
        """
        return [*self._unfinished(), *self._missing(seeds), *self._twice()]

    def _unfinished(self) -> Iterator[str]:
        for runs in self.all.values():
            for run in runs:
                if run.unfinished:
                    yield f"unfinished: {run.folder} ({run.unfinished})"

    def _missing(self, seeds: Sequence[int] | None) -> Iterator[str]:
        for key, runs in self.all.items():
            expected = self._seeds_of_peers(key) if seeds is None else set(seeds)
            for seed in sorted(expected - {run.seed for run in runs}):
                yield f"missing: seed {seed} of {describe(key)}"

    def _seeds_of_peers(self, key: GroupKey) -> set[int]:
        if key.shots is None:
            return set()
        peers = [runs for peer, runs in self.all.items() if (peer.shots, peer.trainer) == (key.shots, key.trainer)]
        return {run.seed for runs in peers for run in runs if run.seed is not None}

    def _twice(self) -> Iterator[str]:
        for key, runs in self.finished.items():
            first: dict[int | None, Path] = {}
            for run in runs:
                if run.seed in first:
                    where = f"{first[run.seed]} and {run.folder}"
                    yield f"there twice, and counted twice: seed {run.seed} of {describe(key)} in {where}"
                first.setdefault(run.seed, run.folder)


def describe(key: GroupKey) -> str:
    """A group on one line: `digits, 16 shots, LAMM, tiny_ep50`."""
    shots = "" if key.shots is None else shots_in_words(key.shots)
    return ", ".join(part for part in (key.dataset, shots, key.trainer, key.cfg, key.protocol) if part)


def natural(text: str) -> list[tuple[int, str]]:
    """A sorting key by which numbers in `text` count as numbers, and case does not."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text.lower())]


def _order(run: Run) -> tuple[object, ...]:
    key = run.key
    shots = (key.shots is not None, key.shots or 0)
    names = [natural(name) for name in (key.trainer, key.cfg, key.protocol, key.split)]
    return (natural(key.dataset), shots, *names, run.seed is None, run.seed or 0, natural(str(run.folder)))
