"""What a run is expected to need: sizes, memory, time, and the slots that follow."""

from dataclasses import replace
from pathlib import Path

import pytest

from lamm.errors import ConfigError
from lamm.sweep.estimate import (
    BYTES,
    CPU_RATE,
    SLACK,
    START_SECONDS,
    STEP_SECONDS,
    RunSizes,
    Timings,
    left_to_do,
    memory_of,
    run_sizes,
    sizes_of,
)
from lamm.sweep.machine import Machine, Slots, choose_slots, gpu_share, this_machine
from lamm.sweep.progress import overview
from lamm.sweep.runs import DataFacts, PlannedRun, data_key
from tests.sweep.test_planned_runs import GRID, planned
from tests.sweep.toy_train import FINISHED, RUNNING, write

GIB = 2**30
HUNDRED = DataFacts(100, 4128, 2465, None)


def run_of(trainer: str, shots: int = 2, folder: Path = Path("output"), **settings: str) -> PlannedRun:
    overrides = {key.replace("__", "."): value for key, value in settings.items()}
    grid = replace(GRID, trainers=(trainer,), datasets=("caltech101",), shots=(shots,), last=overrides)
    return planned(grid, output=folder)[0]


def sizes(trainer: str, **settings: str) -> RunSizes:
    return run_sizes(run_of(trainer, **settings).plan, HUNDRED)


@pytest.mark.parametrize(
    ("name", "million", "gigaflops"),
    # Parameters as open_clip's profile lists them, and multiplications of one image as it and the papers do.
    [("ViT-B/16", 149.6, 17.5), ("ViT-B/32", 151.3, 4.4), ("ViT-L/14", 427.6, 81.0), ("RN50", 102.0, 5.5)],
)
def test_the_sizes_of_a_backbone_are_those_of_the_model(name: str, million: float, gigaflops: float) -> None:
    found = sizes_of(name)
    assert found.parameters / 1e6 == pytest.approx(million, rel=0.05)
    assert found.image_products / 1e9 == pytest.approx(gigaflops, rel=0.4 if name == "RN50" else 0.08)


def test_a_backbone_of_unknown_sizes_counts_as_vit_b_16() -> None:
    assert sizes_of("open_clip:ViT-B-16/laion2b_s34b_b88k") == sizes_of("ViT-B/16")


def test_the_text_side_of_lamm_is_what_was_measured() -> None:
    """docs/speed.md: 165 MiB for 100 classes and 1,655 for 1,000, beyond weights and batch."""
    one = replace(sizes("LAMM"), test_batch=0, batch=0)
    for classes, mib in ((100, 165), (1000, 1655)):
        more = memory_of(replace(one, classes=classes), "cpu") - memory_of(replace(one, classes=0), "cpu")
        assert more / SLACK / 2**20 == pytest.approx(mib, rel=0.05)


def test_memory_grows_with_classes_unless_chunked_and_with_what_each_method_adds() -> None:
    lamm, chunked = sizes("LAMM"), sizes("LAMM", TRAINER__TEXT_CHUNK="100")
    many = replace(lamm, classes=10_000)
    assert memory_of(many, "gpu") > memory_of(lamm, "gpu") + 10 * GIB
    assert memory_of(replace(chunked, classes=10_000), "gpu") == pytest.approx(memory_of(lamm, "gpu"), rel=0.2)
    # CoCoOp has a prompt set an image; MaPLe's gradient goes through the image tower; CSC encodes whole prompts.
    assert sizes("CoCoOp").test_prefixes == 100
    assert sizes("MaPLe").vision_prompts
    assert not sizes("CoOp").vision_prompts
    assert sizes("CoOp", TRAINER__COOP__CSC="True", TRAINER__COOP__CTX_INIT="").positions > sizes("CoOp").positions
    assert memory_of(lamm, "gpu") > BYTES * SLACK * lamm.backbone.parameters


def test_steps_are_epochs_times_whole_batches() -> None:
    assert sizes("LAMM").steps == 50 * (200 // 32)
    assert sizes("ZeroshotCLIP").steps == 0
    assert run_sizes(run_of("LAMM", DATASET__SUBSAMPLE_CLASSES="base").plan, HUNDRED).classes == 50


def test_without_a_finished_run_the_time_is_a_guess_from_the_multiplications(tmp_path: Path) -> None:
    run = run_of("ZeroshotCLIP", folder=tmp_path)
    cost = Timings(threads=1, gpu=False).cost_of(run, run_sizes(run.plan, HUNDRED))
    images = 2 * 2465 * sizes_of("ViT-B/16").image_products / CPU_RATE
    assert (cost.seconds, cost.basis) == (pytest.approx(START_SECONDS + images, rel=0.02), "guess")


def test_test_features_are_paid_for_once_a_data_set_and_views_once_an_image(tmp_path: Path) -> None:
    timings, run = Timings(threads=1, gpu=False), run_of("LAMM", folder=tmp_path)
    plain = run_sizes(run.plan, HUNDRED)
    first, second = timings.cost_of(run, plain), timings.cost_of(run, plain)
    assert first.seconds - second.seconds == pytest.approx(2 * 2465 * plain.backbone.image_products / CPU_RATE)
    cached = timings.cost_of(run, replace(plain, cached_views=8))
    steps = plain.steps * plain.batch - 8 * plain.train_images
    assert second.seconds - cached.seconds == pytest.approx(2 * steps * plain.backbone.image_products / CPU_RATE)
    assert cached.seconds > START_SECONDS + STEP_SECONDS * plain.steps


def test_finished_runs_tell_the_time_of_their_like(tmp_path: Path) -> None:
    """The stand-in's record says 1 second at 1 shot."""
    run = run_of("LAMM", shots=1, folder=tmp_path)
    other = replace(run_sizes(run.plan, HUNDRED), test_images=0, test_batch=0)
    none = Timings(1, gpu=False).cost_of(run, other)
    write(run.folder, RUNNING)
    assert Timings(1, gpu=False).cost_of(run, other) == none
    write(run.folder, FINISHED)
    timings = Timings(1, gpu=False)
    measured, scaled = (timings.cost_of(run_of("LAMM", shots, tmp_path), other) for shots in (1, 16))
    assert (measured.basis, scaled.basis) == ("measured", "scaled")
    assert scaled.seconds - measured.seconds == pytest.approx(15.0)
    assert timings.cost_of(run_of("CoOp", 1, tmp_path), other).basis == "guess"


@pytest.mark.parametrize(
    ("memory", "share"), [(1.0, 0.01), (25.0, 0.25), (25.1, 0.26), (99.9, 1.0), (250.0, 1.0), (0.0, 0.01)]
)
def test_a_share_of_a_gpu_is_rounded_up_and_at_most_the_whole(memory: float, share: float) -> None:
    assert gpu_share(memory, 100.0) == share


@pytest.mark.parametrize(
    ("machine", "jobs", "threads", "expected"),
    [
        (Machine(8, 100.0), None, None, Slots(8, 1)),
        (Machine(8, 100.0), 3, None, Slots(3, 2)),
        (Machine(8, 100.0), None, 4, Slots(2, 4)),
        (Machine(8, 100.0), 20, None, Slots(20, 1)),
        (Machine(64, 100.0), None, None, Slots(10, 6)),  # no more runs than there are
        (Machine(8, 25.0), None, None, Slots(2, 4)),  # 10 bytes each
        (Machine(8, 5.0), None, None, Slots(1, 8)),
        (Machine(32, 100.0, (40, 40)), None, None, Slots(8, 4)),  # 4 on a GPU
        (Machine(32, 100.0, (5, 5)), None, None, Slots(2, 16)),
        (Machine(4, 100.0, (40, 40)), None, None, Slots(4, 1)),
    ],
)
def test_runs_share_cores_memory_and_gpus(
    machine: Machine, jobs: int | None, threads: int | None, expected: Slots
) -> None:
    assert choose_slots([10.0] * 10, machine, jobs, threads) == expected


def test_where_memory_is_not_counted_run_by_run_all_count_as_the_largest() -> None:
    machine = Machine(8, 100.0, (40,))
    assert choose_slots([10.0, 20.0] * 5, machine).jobs == 4
    assert choose_slots([10.0, 20.0] * 5, machine, counted=False).jobs == 2


def test_more_threads_than_cores_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match="--threads is 9, and this machine has 8 cores"):
        choose_slots([1.0], Machine(8, 100.0), threads=9)


def test_this_machine_has_cores_and_memory() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory > 0


def test_the_overview_names_each_group_once_with_what_is_done_and_what_the_rest_costs(tmp_path: Path) -> None:
    grid = replace(GRID, trainers=("LAMM", "CoOp"), shots=(1, 16), seeds=(1, 2))
    runs = planned(grid, output=tmp_path)
    facts = {data_key(run.plan): DataFacts(10, 898, 540, None) for run in runs}
    write(runs[0].folder, FINISHED)
    left = left_to_do(runs[1:], facts, Machine(2, float("inf")))
    header, _, lamm, coop, _, whole = overview(runs, left, begun=1).splitlines()
    assert header.split()[:7] == ["dataset", "trainer", "cfg", "shots", "seeds", "runs", "done"]
    assert lamm.split()[:9] == ["digits", "LAMM", "tiny_ep50", "1", "16", "1", "2", "4", "1"]
    assert "scaled" in lamm
    assert "measured" in lamm
    assert coop.split()[:9] == ["digits", "CoOp", "tiny_ep50", "1", "16", "1", "2", "4", "0"]
    assert coop.endswith("guess")
    assert whole.startswith("8 runs, 1 done, 7 to do (1 of them begun): about ")
    assert whole.endswith("2 at once with 1 thread each; the time of 4 is a guess")
