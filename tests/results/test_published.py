"""The published numbers: as the papers print them, and whether a run may stand beside them."""

from statistics import fmean

import pytest
from lamm_trainers import TRAINERS

from lamm.datasets import DEMO as DEMO_DATASETS
from lamm.errors import ResultsError
from lamm.results.published import CONFIGS, DEMO, DEMO_DATA, comparable, published, table_names
from tests.train_command import ROOT

ELEVEN = published("few_shot").trained_on
VIT = "ViT-B/16"

# (table, row, column) → the number in the paper.
CELLS = {
    ("domain_generalization", "zero-shot CLIP", "imagenet"): 66.73,
    ("domain_generalization", "LAMM", "average"): 61.99,
    ("class_incremental", "CoOp", "set1_before"): 82.69,
    ("class_incremental_datasets", "LAMM, Set 1", "oxford_flowers"): 97.80,
    ("class_incremental_datasets", "MaPLe, Set 2", "eurosat"): 92.60,
    ("few_shot", "LAMM", "1"): 68.99,
    ("few_shot", "CoOp+LAMM", "16"): 81.71,
    ("few_shot", "MaPLe+LAMM without HL", "2"): 67.70,
    ("loss_parts", "without COS", "16"): 80.86,
    ("loss_parts", "CE + WC", "16"): 80.63,
    ("label_init", "random", "2"): 62.71,
    ("field", "CLIP-LoRA", "16"): 82.89,
    ("field", "GDA", "16"): 81.85,
    ("field", "KgCoOp", "16"): 77.26,
    ("field_rn50", "Tip-Adapter-F", "16"): 75.83,
}


def values(name: str, label: str) -> tuple[float | None, ...]:
    return next(row.values for row in published(name).rows if row.label == label)


def test_a_table_has_a_number_for_each_column_of_each_row() -> None:
    for table in map(published, table_names()):
        assert table.rows
        assert {len(row.values) for row in table.rows} == {len(table.columns)}
        assert len({row.label for row in table.rows}) == len(table.rows)


def test_numbers_are_those_of_the_papers() -> None:
    numbers = {cell: values(*cell[:2])[published(cell[0]).columns.index(cell[2])] for cell in CELLS}
    assert numbers == CELLS


def test_the_averages_of_table_1_are_those_of_source_v2_and_sketch() -> None:
    for row in published("domain_generalization").rows:
        *accuracies, average = row.values
        assert average == pytest.approx(fmean(accuracies), abs=0.006)


@pytest.mark.parametrize("part", ["set1", "set2"])
@pytest.mark.parametrize("trainer", ["CoOp", "LAMM"])
def test_the_averages_of_table_2_are_those_of_its_eleven_data_sets(trainer: str, part: str) -> None:
    datasets, averages = published("class_incremental_datasets"), published("class_incremental")
    row, summary = datasets.row_of(trainer, part), averages.row_of(trainer)
    assert row is not None
    assert summary is not None
    assert summary.values[averages.columns.index(part)] == pytest.approx(fmean(row.values), abs=0.007)


def test_table_2_has_the_change_after_minus_before_and_says_so() -> None:
    table = published("class_incremental")
    for row in table.rows:
        before, after, _, change = row.values
        assert change == pytest.approx(after - before, abs=0.006)
    assert any("change is that of Set 1" in note and "negative where it was forgotten" in note for note in table.notes)


def test_tables_that_repeat_a_row_agree() -> None:
    assert values("label_init", "words") == values("few_shot", "LAMM")
    assert values("field", "LAMM") == values("few_shot", "LAMM")
    assert values("field", "CoOp+LAMM") == values("few_shot", "CoOp+LAMM")
    assert values("loss_parts", "all") == values("few_shot", "LAMM")[-1:]
    assert values("loss_parts", "CE only") == values("few_shot", "LAMM without HL")[-1:]


@pytest.mark.parametrize("name", ["field", "field_rn50"])
def test_a_row_of_the_field_names_its_source_and_who_reports_its_numbers(name: str) -> None:
    for row in published(name).rows:
        assert row.source, row.label
        assert row.uses, row.label
        assert bool(row.whose) == any(value is not None for value in row.values), row.label


@pytest.mark.parametrize("name", ["field", "field_rn50"])
def test_the_docs_print_the_table_of_the_field(name: str) -> None:
    text = (ROOT / "docs" / "reproducing_the_paper.md").read_text(encoding="utf-8")
    for row in published(name).rows:
        numbers = ["—" if value is None else f"{value:.2f}" for value in row.values]
        assert f"| {' | '.join([row.label, *numbers, row.whose or '—', row.uses, row.source])} |\n" in text


def test_a_row_is_found_by_trainer_and_settings() -> None:
    without = published("few_shot").row_of("LAMM", overrides={"TRAINER.LAMM.HIERARCHICAL_LOSS": "False"})
    assert without is not None
    assert without.label == "LAMM without HL"
    assert published("few_shot").row_of("CoCoOp") is None


def test_names_that_do_not_exist_are_one_line() -> None:
    with pytest.raises(ResultsError, match='unknown published table "few_shots"; did you mean "few_shot"'):
        published("few_shots")


def test_demo_data_are_those_of_the_runs() -> None:
    assert set(DEMO_DATA) == set(DEMO_DATASETS)
    for name in DEMO_DATA:
        assert comparable(name, "tiny") == DEMO
        assert comparable([*ELEVEN, name], VIT, 3) == DEMO


def test_runs_as_the_papers_are_comparable() -> None:
    assert comparable("caltech101", VIT, 3) == ""
    assert comparable("imagenetv2", VIT) == ""
    assert comparable(ELEVEN, VIT, 3, table=published("few_shot")) == ""
    assert comparable("imagenet", VIT, 3, table=published("domain_generalization")) == ""


@pytest.mark.parametrize("cfg", ["vit_b16_ep50_ctxv1+STEPS=2", "vit_b16_ep50_ctxv1/step2"])
def test_the_papers_config_is_comparable_whatever_stands_behind_its_name(cfg: str) -> None:
    assert comparable("dtd", VIT, 3, trainer="LAMM", cfg=cfg) == ""


def test_the_papers_configs_are_the_trainers_defaults() -> None:
    assert {trainer.__name__: trainer.default_config for trainer in TRAINERS if trainer.__name__ in CONFIGS} == CONFIGS
    rows = [row.trainer for name in table_names() for row in published(name).rows if row.trainer]
    assert {*rows} <= {*CONFIGS}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("caltech101", "ViT-B/32"), "backbone ViT-B/32, reported with ViT-B/16"),
        (("caltech101", VIT, 1), "1 seed, reported with 3"),
        (("caltech101", VIT, 3, ["MAX_EPOCH=2"]), "other settings (MAX_EPOCH=2)"),
        (("my_photos", VIT, 3), "nothing is reported for my_photos"),
        (("average", VIT, 3), "nothing is reported for average"),
        ((["caltech101"], VIT, 3, (), published("few_shot")), "caltech101, reported for the mean of 11 data sets"),
        (("caltech101", VIT, 3, (), published("domain_generalization")), "caltech101, reported for imagenet"),
        (("caltech101", VIT, 3, (), None, "LAMM", "my_own_ep2"), "config my_own_ep2, reported with vit_b16_ep50_ctxv1"),
        (
            ("dtd", VIT, 3, (), None, "ZeroshotCLIP", "vit_b16_ensemble"),
            "config vit_b16_ensemble, reported with vit_b16",
        ),
    ],
)
def test_what_differs_from_the_papers_runs_is_said(arguments: tuple, reason: str) -> None:
    assert comparable(*arguments) == f"not comparable: {reason}"
