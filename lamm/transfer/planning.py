"""The runs of a transfer request: for each seed a training run, and for each target an evaluation of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from lamm.errors import ConfigError
from lamm.results.transfer_pairs import BASE, BASE_TO_NEW, DOMAIN_GENERALIZATION
from lamm.run.arguments import train_parser
from lamm.run.earlier_run import earlier_run
from lamm.run.plan import RunPlan, default_config, plan_run
from lamm.sweep.data_facts import facts_of
from lamm.transfer.request import SUBSET, TransferRequest

ExtendCfg = Callable[[CfgNode], None]


@dataclass(frozen=True)
class Evaluation:
    """A trained model on one target.

    Attributes:
        target: what the table calls it.
        words: command line of `train.py`.
    """

    target: str
    words: tuple[str, ...]

    def folder(self, extend_cfg: ExtendCfg) -> Path:
        """Where it lies, known once its model is there."""
        return plan_run(train_parser().parse_args(list(self.words)), extend_cfg).output_dir


@dataclass(frozen=True)
class SeedRuns:
    """One seed's runs.

    Attributes:
        seed: the seed.
        words: command line of `train.py` that trains on the source.
        folder: where that run lies.
        evaluations: one a target.
    """

    seed: int
    words: tuple[str, ...]
    folder: Path
    evaluations: tuple[Evaluation, ...]


def plan_transfer(
    request: TransferRequest, seeds: Sequence[int], root: str, extend_cfg: ExtendCfg, flags: Sequence[str] = ()
) -> list[SeedRuns]:
    """Plan every run, and look whether all data are there, before anything takes time.

    Args:
        request: what to run.
        seeds: one training run each.
        root: of the data.
        extend_cfg: adds the trainers' config keys.
        flags: further flags of every `train.py`.

    Raises:
        ConfigError: a mistake in any run's settings, or a folder that holds another run.
        DataError: data that are missing or broken.
    """
    return _Planner(request, root, extend_cfg, tuple(flags)).plan(seeds)


class _Planner:
    """Makes command lines, and plans them."""

    def __init__(self, request: TransferRequest, root: str, extend_cfg: ExtendCfg, flags: tuple[str, ...]) -> None:
        self._request, self._root, self._extend_cfg, self._flags = request, root, extend_cfg, flags
        self._config = ("--config-file", str(request.config)) if request.config else ()

    def plan(self, seeds: Sequence[int]) -> list[SeedRuns]:
        """All runs."""
        found = self._plan(self._words(self._request.source, seeds[0], BASE))
        _check_context(self._request.protocol, found)
        # Targets take the source's config, whatever their own default is.
        if not self._config:
            config = default_config(found.trainer, found.trainer_class, self._request.source)
            self._config = ("--config-file", str(config))
        made = [self._of_seed(seed) for seed in seeds]
        facts_of(found)
        for target in self._targets:
            facts_of(self._plan(self._words(self._set_of(target), seeds[0], target)))
        return made

    @property
    def _targets(self) -> tuple[str, ...]:
        return self._request.targets

    def _of_seed(self, seed: int) -> SeedRuns:
        words = self._words(self._request.source, seed, BASE)
        plan = self._plan(words)
        earlier_run(plan)
        learns = getattr(plan.trainer_class, "learner_class", plan.trainer_class) is not None
        model = ("--model-dir", str(plan.output_dir)) if learns else ()
        evaluations = tuple(
            Evaluation(target, self._words(self._set_of(target), seed, target, "--eval-only", *model))
            for target in self._targets
        )
        if plan.output_dir.is_dir() or not learns:
            for evaluation in evaluations:
                earlier_run(self._plan(evaluation.words))
        return SeedRuns(seed, words, plan.output_dir, evaluations)

    def _set_of(self, target: str) -> str:
        return self._request.source if self._request.protocol == BASE_TO_NEW else target

    def _words(self, dataset: str, seed: int, subset: str, *flags: str) -> tuple[str, ...]:
        request = self._request
        words = ("--trainer", request.trainer, "--dataset", dataset, "--shots", str(request.shots))
        words += ("--seed", str(seed), "--root", self._root, *self._config, *self._flags, *flags)
        half = (SUBSET, subset) if request.protocol == BASE_TO_NEW else ()
        return (*words, *half, *request.overrides)

    def _plan(self, words: Sequence[str]) -> RunPlan:
        return plan_run(train_parser().parse_args(list(words)), self._extend_cfg)


def _check_context(protocol: str, plan: RunPlan) -> None:
    """Refuse class-specific context where the target's classes are others."""
    node = getattr(plan.trainer_class, "config_node", "")
    if protocol != DOMAIN_GENERALIZATION and node in plan.cfg.TRAINER and plan.cfg.TRAINER[node].get("CSC", False):
        raise ConfigError(
            f"TRAINER.{node}.CSC is True: context of each class has nothing for other classes, set it to False"
        )
