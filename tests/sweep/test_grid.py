"""`lamm.sweep.grid`: a grid from a file, from flags, or both."""

from dataclasses import replace
from pathlib import Path

import pytest

from lamm.commands import sweep
from lamm.errors import ConfigError
from lamm.sweep.grid import Grid, override_pairs, read_grid
from tests.train_command import ROOT

TEXT = "trainers: [LAMM, CoOp]\ndatasets: [digits]\nshots: [1, 2]\nseeds: [0, 3]\n"
SWEEPS = ROOT / "configs" / "sweeps"
RUNS = {
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
    for name in RUNS.keys() - {"demo", "paper"}:
        settings = list(read_grid(SWEEPS / f"{name}.yaml").variants.values())
        assert settings.count({}) == 1, name
        assert len({frozenset(one.items()) for one in settings}) == len(settings), name


def test_quick_takes_the_first_seed_alone() -> None:
    parser = sweep.parser()
    assert sweep.grid_of(parser.parse_args(["paper", "--quick"])).seeds == (1,)
    with pytest.raises(ConfigError, match="--quick and --seeds both choose the seeds"):
        sweep.grid_of(parser.parse_args(["paper", "--quick", "--seeds", "2"]))
