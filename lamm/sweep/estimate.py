"""The sizes of a backbone that memory and time of a run follow from, without loading it."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamm.clip import tiny
from lamm.clip.architecture import Architecture
from lamm.clip.loading import OPENAI_NAMES, TINY, openai_architecture
from lamm.errors import ResultsError
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.plan import RunPlan
from lamm.sweep.machine import Machine, Slots, choose_slots
from lamm.sweep.runs import DataFacts, PlannedRun, data_key
from lamm.sweep.worker import Order

if TYPE_CHECKING:
    from lamm.sweep.runs import PlannedRun


STAND_IN = "ViT-B/16"
"""Whose sizes stand for a backbone that is none of OpenAI's."""


@dataclass(frozen=True)
class BackboneSizes:
    """What the estimates need.

    Attributes:
        parameters: numbers in both towers.
        image_products: multiplications of one image's forward pass.
        image_numbers: numbers that one block of the image tower (of a ResNet: its widest place) holds for one image.
        image_layers: blocks that a gradient to prompts goes through.
        text_width: D.
        text_layers: blocks of the text tower.
    """

    parameters: float
    image_products: float
    image_numbers: float
    image_layers: int
    text_width: int
    text_layers: int

    @property
    def text_products(self) -> float:
        """Multiplications of one position's forward pass through the text tower."""
        return _block_parameters(self.text_width) * self.text_layers


@lru_cache
def sizes_of(name: str) -> BackboneSizes:
    """The sizes of `MODEL.BACKBONE.NAME`; of a backbone that is not OpenAI's those of `STAND_IN`."""
    if name == TINY:
        vision, text = tiny.VISION, tiny.TEXT
        return _sizes(
            Architecture(
                tiny.EMBED_DIM,
                *(vision[key] for key in ("image_size", "layers", "width", "patch_size")),
                *(text[key] for key in ("context_length", "vocab_size", "width", "layers")),
            )
        )
    return _sizes(openai_architecture(name if name in OPENAI_NAMES else STAND_IN))


def _sizes(of: Architecture) -> BackboneSizes:
    text = _block_parameters(of.text_width) * of.text_layers + of.text_width * (of.vocab_size + of.context_length)
    if isinstance(of.vision_layers, int) and of.patch_size is not None:
        positions = (of.image_size // of.patch_size) ** 2 + 1
        vision = _block_parameters(of.vision_width) * of.vision_layers
        products = positions * (vision + 2 * of.vision_layers * positions * of.vision_width)
        numbers, layers = float(positions * of.vision_width), of.vision_layers
    else:
        vision, products = _resnet(of)
        numbers, layers = (of.image_size / 2) ** 2 * of.vision_width, 1
    return BackboneSizes(vision + text, products, numbers, layers, of.text_width, of.text_layers)


def _block_parameters(width: int) -> float:
    """Weights of a transformer block: 4 W² of attention, 8 W² of the MLP."""
    return 12.0 * width**2


def _resnet(of: Architecture) -> tuple[float, float]:
    """Weights of a ModifiedResNet's bottlenecks and attention pool, and multiplications of one image."""
    assert isinstance(of.vision_layers, tuple), "a ResNet has four numbers of layers"
    weights = products = 0.0
    for stage, blocks in enumerate(of.vision_layers):
        # 1×1, 3×3 and 1×1 convolutions of P, P and 4 P channels.
        here = 17.0 * blocks * (of.vision_width * 2**stage) ** 2
        weights += here
        products += here * (of.image_size / 2 ** (stage + 2)) ** 2
    return weights + 3 * (32 * of.vision_width) ** 2, products


LABEL_POSITIONS = 4
"""Positions of a class with the shared prefix: a name of 2 sub-tokens, the full stop, the end token."""
USUAL_CLASSES = 100
"""Stands for a number of classes that is not known."""
EVALUATION_CHUNK = 4096


@dataclass(frozen=True)
class RunSizes:
    """One run.

    Attributes:
        backbone: its model.
        classes: N.
        epochs: 0 for a method that learns nothing.
        train_images: of an epoch.
        test_images: of the test at the end.
        batch: images of a training step.
        test_batch: images of a test step.
        positions: text positions of one prompt.
        prefixes: prompt sets of a training step: 1, or one an image.
        test_prefixes: the same of a test step.
        chunk: prompts that training encodes at a time; 0: all.
        cached_views: views of each training image that are encoded once; 0: each step encodes its images.
        vision_prompts: whether gradients go through the image tower.
    """

    backbone: BackboneSizes
    classes: int
    epochs: int
    train_images: int
    test_images: int
    batch: int
    test_batch: int
    positions: int
    prefixes: int
    test_prefixes: int
    chunk: int
    cached_views: int
    vision_prompts: bool

    @property
    def steps(self) -> int:
        """Training steps of the whole run."""
        return self.epochs * max(1, self.train_images // self.batch)

    @property
    def prompts(self) -> int:
        """Prompts whose activations a training step holds at a time."""
        together = self.classes * self.prefixes
        return min(together, self.chunk) if self.chunk else together

    @property
    def test_prompts(self) -> int:
        """Prompts that a test step encodes at a time."""
        return min(self.classes * self.test_prefixes, EVALUATION_CHUNK)


def run_sizes(plan: RunPlan, facts: DataFacts) -> RunSizes:
    """Read the sizes off a run's config and its trainer's class."""
    cfg = plan.cfg
    learner = getattr(plan.trainer_class, "learner_class", plan.trainer_class)
    node: Any = cfg.TRAINER.get(getattr(plan.trainer_class, "config_node", ""), {})
    classes = facts.classes or USUAL_CLASSES
    if getattr(cfg.DATASET, "SUBSAMPLE_CLASSES", "all") != "all":
        classes = math.ceil(classes / 2)
    shared = not node.get("CSC", False) and node.get("CLASS_TOKEN_POSITION", "end") == "end"
    batch, test_batch = cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.DATALOADER.TEST.BATCH_SIZE
    per_image = getattr(learner, "per_image", False)
    drawn = classes * cfg.DATASET.NUM_SHOTS
    return RunSizes(
        backbone=sizes_of(cfg.MODEL.BACKBONE.NAME),
        classes=classes,
        epochs=cfg.OPTIM.MAX_EPOCH if learner is not None else 0,
        train_images=min(drawn, facts.train_images or drawn),
        test_images=facts.test_images,
        batch=batch,
        test_batch=test_batch,
        positions=LABEL_POSITIONS + (0 if shared else 1 + node.get("N_CTX", 0)),
        prefixes=batch if per_image else 1,
        test_prefixes=test_batch if per_image else 1,
        chunk=getattr(cfg.TRAINER, "TEXT_CHUNK", 0),
        cached_views=getattr(cfg.INPUT, "CACHE_VIEWS", 0),
        vision_prompts="PROMPT_DEPTH" in node,
    )


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
            self._known[key] = _seconds_by_shots(dataset.glob(f"shots_*/{trainer}/{escape(cfg)}/seed*/{RESULTS_FILE}"))
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


BYTES = 4
STEP = 17
PASS = 12
SLACK = 1.25
"""What an allocator holds beyond what is asked of it."""
PROGRAM = {"cpu": 0.5 * 2**30, "gpu": 0.75 * 2**30}
"""Bytes of the program itself: its libraries, and on a GPU its context there."""


def memory_of(run: RunSizes, device: str) -> float:
    """Bytes that a run needs, on the device where it runs.

    Args:
        run: its sizes.
        device: `cpu` or `gpu`.
    """
    backbone = run.backbone
    image = backbone.image_numbers
    text = run.positions * backbone.text_width
    kept = STEP * backbone.image_layers if run.vision_prompts else PASS
    step = run.batch * image * kept + run.prompts * text * STEP * backbone.text_layers
    test = (run.test_batch * image + run.test_prompts * text) * PASS
    return PROGRAM[device] + BYTES * SLACK * (backbone.parameters + max(step if run.epochs else 0.0, test))


LOG_FILE = "stdout.txt"


@dataclass(frozen=True)
class Job:
    """A run that is left to do.

    Attributes:
        words: the command line of `train.py`; its paths are absolute.
        folder: the run's folder, as messages name it.
        output_dir: the same, absolute.
        method: its row in a table.
        dataset: its column.
        seconds: that it is expected to take.
        memory: bytes that it is expected to need.
    """

    words: tuple[str, ...]
    folder: str
    output_dir: str
    method: str
    dataset: str
    seconds: float
    memory: float

    @classmethod
    def of(cls, run: "PlannedRun", seconds: float, memory: float) -> "Job":
        """The job of a planned run."""
        place, plan = str(run.folder), run.plan
        return cls(run.words, place, str(plan.output_dir), run.method, plan.dataset, seconds, memory)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Job":
        """The job that `as_dict` wrote.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**{**content, "words": tuple(content["words"])})

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    def order(self, number: int, tries: int = 0) -> Order:
        """What a pool gets; each further try sets twice the memory aside."""
        return Order(number, self.words, str(Path(self.output_dir) / LOG_FILE), self.memory * 2**tries)


@dataclass(frozen=True)
class LeftToDo:
    """The jobs of a sweep.

    Attributes:
        jobs: one a run.
        bases: where the time of each comes from, see `Cost`.
        slots: how they share the machine.
    """

    jobs: tuple[Job, ...]
    bases: tuple[str, ...]
    slots: Slots

    @property
    def seconds(self) -> float:
        """Of all jobs, `slots.jobs` at a time."""
        at_once = max(1, min(self.slots.jobs, len(self.jobs)))
        longest = max((job.seconds for job in self.jobs), default=0.0)
        return max(longest, sum(job.seconds for job in self.jobs) / at_once)


def left_to_do(
    runs: Iterable[PlannedRun],
    facts: Mapping[str, DataFacts],
    machine: Machine,
    jobs: int | None = None,
    threads: int | None = None,
    counted: bool = True,
) -> LeftToDo:
    """Estimate every run, and share the machine among them.

    Args:
        runs: that have no result.
        facts: of each run's data set, by `data_key`.
        machine: where they run.
        jobs: runs at once, where the user says it.
        threads: of each run, where the user says it.
        counted: see `choose_slots`.

    Raises:
        ConfigError: more threads than the machine has cores.
    """
    sized = [(run, run_sizes(run.plan, facts[data_key(run.plan)])) for run in runs]
    memories = [memory_of(sizes, machine.device) for _, sizes in sized]
    slots = choose_slots(memories, machine, jobs, threads, counted)
    timings = Timings(slots.threads, machine.device == "gpu")
    costs: list[Cost] = [timings.cost_of(run, sizes) for run, sizes in sized]
    made = [Job.of(run, cost.seconds, memory) for (run, _), cost, memory in zip(sized, costs, memories, strict=True)]
    return LeftToDo(tuple(made), tuple(cost.basis for cost in costs), slots)
