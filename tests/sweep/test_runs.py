"""A grid from a file, from flags, or both; each run is a line of train.py; what is done is read in folders."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lamm_trainers
import pytest

from lamm.commands import sweep
from lamm.errors import ConfigError, ResultsError
from lamm.files import write_json
from lamm.results.schema import RESULTS_FILE, RUNNING, RunResults
from lamm.run.fingerprint import CONFIG_FILE, config_hash, store_config
from lamm.run.plan import RunPlan
from lamm.sweep.grid import Grid, override_pairs, read_grid
from lamm.sweep.runs import (
    MIB,
    SweepRun,
    earlier_results,
    expected_seconds,
    largest_peak,
    left_to_do,
    planned_runs,
    prepare,
    set_expected_seconds,
    split_hashes,
)
from tests.sweep.toy_runs import toy_run
from tests.sweep.toy_train import FINISHED, write
from tests.train_command import ROOT, plan, train

TEXT = "trainers: [LAMM, CoOp]\ndatasets: [digits]\nshots: [1, 2]\nseeds: [0, 3]\n"
SWEEPS = ROOT / "configs" / "sweeps"
RUNS = {
    "beyond_lamm": 450,
    "demo": 240,
    "paper": 1155,
    "paper_loss_parts": 264,
    "paper_hierarchical_loss": 990,
    "paper_label_init": 330,
    "paper_backbones": 528,
    "label_tokens": 297,
    "teacher": 132,
    "kd_direction": 198,
    "cos_over": 198,
    "top_lamm_holds": 80,
    "wide": 660,
}


def read(folder: Path, text: str) -> Grid:
    file = folder / "grid.yaml"
    file.write_text(text, encoding="utf-8")
    return read_grid(file)


def test_a_grid_is_every_combination_of_its_lists(tmp_path: Path) -> None:
    points = list(read(tmp_path, TEXT).points())
    assert len(points) == len(set(points)) == 8
    assert ("", "digits", "CoOp", 2, 3) in points


def test_each_variant_runs_the_whole_grid_with_its_overrides(tmp_path: Path) -> None:
    grid = read(
        tmp_path,
        TEXT + "variants: {plain: {}, short: {OPTIM.MAX_EPOCH: 1, OPTIM.LR: 0.5}}\noverrides: {OPTIM.MAX_EPOCH: 3}\n",
    )
    assert [point[0] for point in grid.points()] == ["plain"] * 8 + ["short"] * 8
    assert grid.settings_of("plain") == {"OPTIM.MAX_EPOCH": "3"}
    assert grid.settings_of("short") == {"OPTIM.MAX_EPOCH": "1", "OPTIM.LR": "0.5"}


def test_the_command_line_counts_above_the_file(tmp_path: Path) -> None:
    grid = read(tmp_path, TEXT + "variants: {plain: {}, short: {OPTIM.MAX_EPOCH: 1}}\n")
    changed = replace(grid.with_lists(seeds=[9], shots=None).with_variants(["short"]), last={"OPTIM.MAX_EPOCH": "7"})
    assert next(changed.points()) == ("short", "digits", "LAMM", 1, 9)
    assert changed.shots == (1, 2)
    assert changed.settings_of("short") == {"OPTIM.MAX_EPOCH": "7"}
    with pytest.raises(ConfigError, match='unknown variant "shrt"; did you mean "short"'):
        grid.with_variants(["shrt"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainers: [LAMM]\n", "datasets must be a list of names, got None"),
        (TEXT + "sedes: [1]\n", 'unknown entry "sedes"; did you mean "seeds"'),
        (TEXT.replace("[1, 2]", "[0]"), "shots must be a list of whole numbers from 1 up"),
        (TEXT.replace("[0, 3]", "[one]"), "seeds must be a list of whole numbers from 0 up"),
        (TEXT.replace("[0, 3]", "1"), "seeds must be a list"),
        (TEXT + "variants: [a]\n", "variants must be named mappings"),
        (TEXT + "variants: {a: {OPTIM: {LR: 1}}}\n", "variant a: OPTIM holds a mapping; write the whole key"),
        (TEXT + "overrides: 3\n", "overrides must be a mapping"),
        ("- LAMM\n", "must hold trainers, datasets, shots, seeds"),
        ("trainers: [", "is not YAML"),
    ],
)
def test_a_mistake_in_a_grid_file_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")) as mistake:
        read(tmp_path, text)
    assert "\n" not in str(mistake.value)
    assert "grid.yaml" in str(mistake.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read the grid file .*none\.yaml: No such file"):
        read_grid(tmp_path / "none.yaml")


def test_words_behind_the_dashes_are_pairs() -> None:
    assert override_pairs(["OPTIM.LR", "0.1", "SEED", "2"]) == {"OPTIM.LR": "0.1", "SEED": "2"}
    with pytest.raises(ConfigError, match="come in pairs, got 1 words"):
        override_pairs(["OPTIM.LR"])
    with pytest.raises(ConfigError, match=r"OPTIM\.LR is set twice"):
        override_pairs(["OPTIM.LR", "1", "OPTIM.LR", "2"])


def test_the_grids_of_the_project_have_the_runs_that_their_headers_name() -> None:
    files = {file.stem: file for file in SWEEPS.iterdir()}
    assert {name: len(list(read_grid(file).points())) for name, file in files.items()} == RUNS
    for name, file in files.items():
        assert f"{RUNS[name]:,} runs" in file.read_text(encoding="utf-8")


def test_one_variant_of_an_ablation_is_the_default_and_no_two_are_the_same() -> None:
    for name in RUNS.keys() - {"demo", "paper", "beyond_lamm", "wide"}:
        settings = list(read_grid(SWEEPS / f"{name}.yaml").variants.values())
        assert settings.count({}) == 1, name
        assert len({frozenset(one.items()) for one in settings}) == len(settings), name


def test_quick_takes_the_first_seed_alone() -> None:
    parser = sweep.parser()
    assert sweep.grid_of(parser.parse_args(["paper", "--quick"])).seeds == (1,)
    with pytest.raises(ConfigError, match="--quick and --seeds both choose the seeds"):
        sweep.grid_of(parser.parse_args(["paper", "--quick", "--seeds", "2"]))


GRID = Grid(("LAMM",), ("digits",), (2,), (1,))
SETTINGS = {"OPTIM.MAX_EPOCH": "1", "TEST.SPLIT": "val"}


def planned(grid: Grid, root: Path = Path("data"), output: Path = Path("output")) -> dict[SweepRun, RunPlan]:
    return planned_runs(grid, root, output, (), lamm_trainers.extend_cfg)


# Planning


def test_a_run_lies_where_a_single_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ((run, sweep_plan),) = planned(replace(GRID, last={"TRAINER.LAMM.LAMBDA_KD": "0.1"})).items()
    single = plan("--trainer LAMM --dataset digits --shots 2 --seed 1 --root data TRAINER.LAMM.LAMBDA_KD 0.1")
    assert run.folder == str(single.output_dir) == "output/digits/shots_2/LAMM/tiny_ep50+LAMBDA_KD=0.1/seed1"
    assert sweep_plan.output_dir == tmp_path / run.folder == Path(run.output_dir)
    assert config_hash(sweep_plan.cfg, "split") == config_hash(single.cfg, "split")


def test_train_py_plans_the_words_as_the_sweep_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any working directory: all paths among the words are absolute."""
    ((run, sweep_plan),) = planned(
        replace(GRID, trainers=("LAMM/tiny_ep50_released",)), output=tmp_path / "out"
    ).items()
    monkeypatch.chdir(tmp_path)
    again = plan(shlex.join(run.words))
    assert again.cfg == sweep_plan.cfg
    assert (again.trainer, again.dataset, again.cfg_name) == ("LAMM", "digits", "tiny_ep50_released")
    assert again.output_dir == tmp_path / "out/digits/shots_2/LAMM/tiny_ep50_released/seed1"


@pytest.mark.parametrize("last", [{}, {"INCREMENTAL.STEPS": "2", "INCREMENTAL.STEP": "1"}])
def test_each_seed_is_planned_as_train_py_plans_it(last: dict[str, str]) -> None:
    """Only the first one is planned from the words; the others are derived from it."""
    runs = planned(replace(GRID, datasets=("digits", "shapes"), seeds=(3, 1, 2), last=last))
    assert len(runs) == 6
    for run, sweep_plan in runs.items():
        again = plan(shlex.join(run.words))
        assert (again.cfg, again.output_dir) == (sweep_plan.cfg, sweep_plan.output_dir)
        assert run.seed == again.cfg.SEED
        assert f"seed{run.seed}" in Path(run.folder).parts
        assert sweep_plan.cfg.is_frozen()


def test_variants_have_folders_and_names_of_their_own() -> None:
    grid = replace(GRID, variants={"all": {}, "ce": {"TRAINER.LAMM.HIERARCHICAL_LOSS": "False"}})
    assert [(run.method, run.cfg) for run in planned(grid)] == [
        ("LAMM (all)", "tiny_ep50"),
        ("LAMM (ce)", "tiny_ep50+HIERARCHICAL_LOSS=False"),
    ]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"trainers": ("LAM/tiny",)}, 'trainer "LAM"; did you mean "LAMM"'),
        ({"trainers": ("LAMM/tiny_ep5",)}, '"tiny_ep5"; did you mean "tiny_ep50"'),
        ({"datasets": ("digts",)}, '"digts"; did you mean "digits"'),
        ({"seeds": (1, 1)}, "output/digits/shots_2/LAMM/tiny_ep50/seed1 twice"),
        ({"last": {"OPTIM.LRR": "1"}}, 'did you mean "OPTIM.LR"'),
        ({"last": {"SEED": "1"}}, "SEED"),
        ({"last": {"OUTPUT_DIR": "elsewhere"}}, "OUTPUT_DIR"),
        ({"last": {"RESUME": "elsewhere"}}, "RESUME"),
        ({"last": {"--seed": "7"}}, "--seed can't stand here"),
    ],
)
def test_a_mistake_in_any_run_is_one_line(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        planned(replace(GRID, **changes))


def test_the_grids_of_the_project_can_be_planned() -> None:
    backbones = {
        "demo": {"tiny"},
        "beyond_lamm": {"tiny"},
        "wide": {"tiny"},
        "top_lamm_holds": {"tiny"},
        "paper_backbones": {"RN50", "RN101", "ViT-B/32", "ViT-B/16"},
    }
    for file in SWEEPS.glob("*.yaml"):
        grid = read_grid(file)
        plans = planned(replace(grid, datasets=grid.datasets[:1], shots=(16,), seeds=(1,)))
        assert len(plans) == len(grid.variants) * len(grid.trainers), file
        used = {plan.cfg.MODEL.BACKBONE.NAME for plan in plans.values()}
        assert used == backbones.get(file.stem, {"ViT-B/16"}), file


# What is done


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, Path, Path]:
    """A grid of one run that train.py has finished, its data and its output."""
    place = tmp_path_factory.mktemp("sweep")
    grid, root, output = replace(GRID, trainers=("ZeroshotCLIP",), last=SETTINGS), place / "data", place / "output"
    (run,) = planned(grid, root, output)
    outcome = train(" ".join(run.words))
    assert outcome.code == 0, outcome.err
    return grid, root, output


def look(grid: Grid, root: Path, output: Path) -> tuple[list[SweepRun], list[str]]:
    return prepare(grid, root, output, (), lamm_trainers.extend_cfg)


@contextmanager
def altered(run: SweepRun, **changes: Any) -> Iterator[None]:
    """The run's record with other values, and whatever else the block writes, for a while."""
    files = [Path(run.output_dir) / name for name in (RESULTS_FILE, CONFIG_FILE)]
    contents = [file.read_bytes() for file in files]
    replace(RunResults.read(files[0]), **changes).write(files[0])
    try:
        yield
    finally:
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)


def test_a_run_that_train_py_finished_is_finished_and_another_seed_is_not(done: tuple[Grid, Path, Path]) -> None:
    grid, *places = done
    (first, second), problems = look(replace(grid, seeds=(1, 2)), *places)
    assert first.finished
    assert first.results is not None
    assert first.results.metrics["accuracy"] > 0
    assert (second.finished, second.begun, problems) == (False, False, [])


def test_a_run_that_was_broken_off_has_begun(done: tuple[Grid, Path, Path]) -> None:
    ((run,), _) = look(*done)
    with altered(run, status=RUNNING):
        ((again,), _) = look(*done)
    assert (again.begun, again.finished) == (True, False)


def test_a_folder_with_another_config_is_a_problem_that_names_the_key(done: tuple[Grid, Path, Path]) -> None:
    ((run, run_plan),) = planned(*done).items()
    cfg = run_plan.cfg.clone()
    cfg.defrost()
    cfg.OPTIM.LR = 7.0
    with altered(run, config_hash="f" * 16):
        store_config(cfg, Path(run.output_dir))
        ((again,), problems) = look(*done)
    assert "holds a run with another config (OPTIM.LR: 7.0 →" in problems[0]
    assert not again.finished


def test_the_split_must_be_the_same_where_the_data_are_there(done: tuple[Grid, Path, Path]) -> None:
    (run_plan,) = planned(*done).values()
    with pytest.raises(ConfigError, match="another split"):
        earlier_results(run_plan, "other")
    without_data = earlier_results(run_plan, None)
    assert without_data is not None
    assert without_data.finished


def test_a_damaged_record_is_a_problem(tmp_path: Path) -> None:
    (run_plan,) = planned(GRID, output=tmp_path).values()
    write_json(run_plan.output_dir / RESULTS_FILE, {"schema_version": 1})
    store_config(run_plan.cfg, run_plan.output_dir)
    with pytest.raises(ResultsError, match="trainer"):
        earlier_results(run_plan, "x")


def test_demo_data_are_made_only_where_that_is_wanted(tmp_path: Path) -> None:
    plans = planned(GRID, tmp_path / "data").values()
    assert list(split_hashes(plans, make=False)[0].values()) == [None]
    assert not (tmp_path / "data").exists()
    (made,) = split_hashes(plans, make=True)[0].values()
    assert made


def test_missing_data_are_one_line(tmp_path: Path) -> None:
    plans = planned(replace(GRID, datasets=("caltech101",), seeds=(1, 2)), tmp_path).values()
    hashes, problems = split_hashes(plans, make=True)
    assert list(hashes.values()) == [None]
    assert [problem.partition(":")[0] for problem in problems] == ["Caltech101"]


# What the rest takes


def test_a_run_is_expected_to_take_the_median_of_its_kind(tmp_path: Path) -> None:
    """Whatever their seed; other shots, and runs that are not finished, say nothing."""
    run, other = toy_run(tmp_path / "shots_1" / "seed9"), toy_run(tmp_path / "shots_2" / "seed9")
    set_expected_seconds([run, other])
    assert (run.seconds, largest_peak([run, other])) == (None, None)
    for seed, seconds in ((1, 5.0), (2, 7.0), (3, 60.0)):
        write(run.kind / f"seed{seed}", FINISHED, seconds, peak=100.0 * seed)
    write(run.kind / "seed4", RUNNING, 1000.0, peak=9999.0)
    write_json(run.kind / "seed5" / RESULTS_FILE, {})
    set_expected_seconds([run, other])
    assert (run.seconds, other.seconds) == (7.0, None)
    assert largest_peak([run, other]) == 300 * MIB


def test_the_order_is_unknown_runs_then_the_longest(tmp_path: Path) -> None:
    seconds = {"short": 1.0, "long": 9.0, "unknown": None, "zero": 0.0}
    runs = [toy_run(tmp_path / name, seconds=value) for name, value in seconds.items()]
    assert [run.folder for run in left_to_do(runs)] == ["unknown", "long", "short", "zero"]
    assert expected_seconds(runs, at_once=1) == 10.0
    assert expected_seconds(runs, at_once=8) == 9.0
    assert expected_seconds(runs[2:3], at_once=1) is None
