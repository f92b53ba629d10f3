"""How long runs take: from finished ones of the same kind, else a guess from the number of multiplications.

A finished run tells the seconds of training of those with the same trainer, config, data set and shots; with other
shots they grow with the training images. Where there is none, the guess is

    seconds of training = 2 · multiplications / rate + steps · STEP_SECONDS

with both passes of what learns, and one of the frozen image tower for each image of each step (for each cached view
where `INPUT.CACHE_VIEWS` is above 0). Start and test come on top. Test images count where a tower under prompts has to
encode them, and once a data set where their features are cached. The rate is `CPU_RATE` a thread or `GPU_RATE` a GPU;
the time to decode photographs is not in it.
"""

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from lamm.errors import ResultsError
from lamm.results.schema import FILE_NAME, RunResults
from lamm.sweep.planned_run import PlannedRun
from lamm.sweep.run_sizes import RunSizes

CPU_RATE = 50e9
"""Floating-point operations a second and thread."""
GPU_RATE = 30e12
STEP_SECONDS = 0.02
"""Of a step beyond its products: loading images, the optimizer, launching kernels."""
START_SECONDS = 2.0
"""From a run's start to its first step."""
MEASURED, SCALED, GUESSED = "measured", "scaled", "guess"


@dataclass(frozen=True)
class Cost:
    """How long one run takes.

    Attributes:
        seconds: from its start to its end.
        basis: where that comes from: `measured`, `scaled` from another number of shots, or a `guess`.
    """

    seconds: float
    basis: str


class Timings:
    """The costs of runs, asked for one after another.

    Args:
        threads: of each run.
        gpu: whether runs have a GPU.
    """

    def __init__(self, threads: int, gpu: bool) -> None:
        self._rate = GPU_RATE if gpu else CPU_RATE * threads
        self._known: dict[tuple[Path, str, str], dict[int, float]] = {}
        self._tested: set[tuple[Path, str]] = set()

    def cost_of(self, run: PlannedRun, sizes: RunSizes) -> Cost:
        """The cost of a run; the first of a data set pays for its test features.

        Args:
            run: the run.
            sizes: its sizes.
        """
        space = (run.folder.parents[3], run.plan.cfg.MODEL.BACKBONE.NAME)
        encodes = sizes.vision_prompts or space not in self._tested
        self._tested.add(space)
        around = START_SECONDS + _test_operations(sizes, encodes) / self._rate
        known, shots = self._seconds_of_finished(run), run.point.shots
        if shots in known:
            return Cost(known[shots] + around, MEASURED)
        if known:
            nearest = min(known, key=lambda other: abs(other - shots))
            growth = shots / nearest if sizes.epochs else 1.0
            return Cost(known[nearest] * growth + around, SCALED)
        training = _training_operations(sizes) / self._rate + STEP_SECONDS * sizes.steps
        return Cost(training + around, GUESSED)

    def _seconds_of_finished(self, run: PlannedRun) -> dict[int, float]:
        """Seconds of training by shots, of finished runs with the same data set, trainer and config."""
        *_, trainer, cfg, _ = run.folder.parts
        dataset = run.folder.parents[3]
        key = (dataset, trainer, cfg)
        if key not in self._known:
            self._known[key] = _seconds_by_shots(dataset.glob(f"shots_*/{trainer}/{escape(cfg)}/seed*/{FILE_NAME}"))
        return self._known[key]


def _training_operations(run: RunSizes) -> float:
    """Of all steps; of what learns, the backward pass to the activations costs what the forward pass does."""
    passes = 2 if run.vision_prompts else 1
    images = run.cached_views * run.train_images if run.cached_views else run.steps * run.batch * passes
    prompts = 2 * run.steps * run.classes * run.prefixes
    return 2.0 * (images * run.backbone.image_products + prompts * run.positions * run.backbone.text_products)


def _test_operations(run: RunSizes, encodes: bool) -> float:
    per_image = run.test_images if run.test_prefixes > 1 else 1
    text = run.classes * per_image * run.positions * run.backbone.text_products
    return 2.0 * (run.test_images * run.backbone.image_products * encodes + text)


def _seconds_by_shots(files: Iterable[Path]) -> dict[int, float]:
    seconds: dict[int, list[float]] = {}
    for results in _finished(files):
        if results.seconds_train is not None:
            seconds.setdefault(results.shots, []).append(results.seconds_train)
    return {shots: statistics.median(values) for shots, values in seconds.items()}


def _finished(files: Iterable[Path]) -> Iterator[RunResults]:
    for file in files:
        try:
            results = RunResults.read(file)
        except ResultsError:
            continue
        if results.finished:
            yield results
