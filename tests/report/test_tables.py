"""Which runs a report is made of, and its own tables: accuracy by shots, means over data sets."""

import pytest

from lamm.errors import ResultsError
from lamm.report.material import Material
from lamm.report.tables import Table, average_tables, cost_tables, means, shots_tables
from tests.report.report_runs import ELEVEN, RunTree


def test_a_choice_of_trainers_keeps_zero_shot_beside_them(tree: RunTree) -> None:
    for trainer in ("LAMM", "CoOp", "MaPLe", "ZeroshotCLIP"):
        tree.run(trainer=trainer)
    material = tree.material(trainers=["LAMM"])
    assert {*material.finished.trainer} == {"LAMM", "ZeroshotCLIP"}


def test_a_trainer_without_runs_is_an_error_that_suggests_one(tree: RunTree) -> None:
    tree.run()
    with pytest.raises(ResultsError, match="LAM.*LAMM"):
        tree.material(trainers=["LAM"])


def test_runs_of_which_none_is_finished_are_an_error(tree: RunTree) -> None:
    tree.run(status="running")
    with pytest.raises(ResultsError, match="none of the 1 runs .* is finished"):
        tree.material()


def test_evaluations_steps_and_parts_of_the_classes_are_not_few_shot_runs(tree: RunTree) -> None:
    tree.run()
    tree.run(90.0, cfg="tiny_ep50+SUBSAMPLE_CLASSES=base", config={"DATASET": {"SUBSAMPLE_CLASSES": "base"}})
    for protocol in ("evaluation", "incremental"):
        tree.run(protocol=protocol, cfg=f"tiny_ep50+of={protocol}")
    material = tree.material()
    assert list(material.few_shot.cfg) == ["tiny_ep50"]
    assert (len(material.finished), material.on_some_classes) == (4, 1)


def tables_of(material: Material) -> list[Table]:
    return average_tables(material, means(material))


def texts_of(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_what_a_data_set_lacks_is_an_empty_cell_of_the_mean(tree: RunTree) -> None:
    for dataset in ("digits", "shapes"):
        tree.run(60.0, dataset=dataset)
    tree.run(50.0, dataset="digits", shots=1)
    tree.run(55.0, dataset="digits", trainer="CoOp")
    (table,) = tables_of(tree.material())
    assert list(table.headings) == ["method", "1", "16"]
    assert texts_of(table) == [["LAMM", "–", "60.0"]]
    assert table.notes[1] == "Without a mean, since no number of shots is finished on all: CoOp."


def test_a_single_data_set_has_no_mean(tree: RunTree) -> None:
    tree.run()
    assert tables_of(tree.material()) == []


def write_paper_runs(tree: RunTree) -> None:
    """LAMM (60 on average) and CoOp (50) with ViT-B/16 on the paper's data sets."""
    for place, dataset in enumerate(ELEVEN):
        for trainer, accuracy in (("LAMM", 60.0), ("CoOp", 50.0)):
            changes = {"cfg": "vit_b16_ep50_ctxv1", "backbone": "ViT-B/16", "trainer": trainer}
            tree.run(accuracy + place - 5, dataset=dataset, **changes)


def test_a_run_with_another_backbone_is_no_part_of_the_mean(tree: RunTree) -> None:
    write_paper_runs(tree)
    tree.run(10.0, dataset="digits")
    (table,) = tables_of(tree.material())
    assert table.caption == "Mean of 11 data sets, ViT-B/16: accuracy in percent by number of shots"
    assert texts_of(table) == [["CoOp", "50.0"], ["LAMM", "60.0"]]


def test_own_data_sets_are_in_no_mean_and_are_shown(tree: RunTree) -> None:
    write_paper_runs(tree)
    for dataset, accuracy in (("my_birds", 20.0), ("my_cars", 30.0)):
        tree.run(accuracy, dataset=dataset, cfg="vit_b16_ep50_ctxv1", backbone="ViT-B/16")
    (papers,) = tables_of(tree.material())
    assert texts_of(papers) == [["CoOp", "50.0"], ["LAMM", "60.0"]]
    assert papers.notes[0].startswith(f"Mean of {', '.join(ELEVEN)}.")
    page = tree.page()
    opened = [name for name in ("my_birds", "my_cars", "caltech101") if f"<details open><summary>{name}<" in page]
    assert opened == ["my_birds", "my_cars"]


def test_each_backbone_has_its_mean(tree: RunTree) -> None:
    for dataset, accuracy in (("digits", 40.0), ("shapes", 60.0)):
        tree.run(accuracy, dataset=dataset)
        tree.run(accuracy + 20, dataset=dataset, cfg="vit_b16_ep50_ctxv1", backbone="ViT-B/16")
    found = {table.caption.partition(":")[0]: texts_of(table) for table in tables_of(tree.material())}
    assert found == {
        "Mean of 2 data sets, tiny": [["LAMM", "50.0"]],
        "Mean of 2 data sets, ViT-B/16": [["LAMM", "70.0"]],
    }


def test_configs_of_a_trainer_are_not_averaged_together(tree: RunTree) -> None:
    tree.run(40.0)
    tree.run(90.0, dataset="shapes", cfg="tiny_ep50_released")
    for dataset in ("digits", "shapes"):
        tree.run(55.0, dataset=dataset, trainer="CoOp")
    (table,) = tables_of(tree.material())
    assert texts_of(table) == [["CoOp", "55.0"]]
    assert table.notes[1].endswith("is finished on all: LAMM (tiny_ep50), LAMM (tiny_ep50_released).")


def test_a_config_is_averaged_though_one_data_set_has_another_beside_it(tree: RunTree) -> None:
    tree.run(40.0)
    tree.run(60.0, dataset="shapes")
    tree.run(90.0, dataset="shapes", cfg="tiny_ep50_released")
    (table,) = tables_of(tree.material())
    assert texts_of(table) == [["LAMM (tiny_ep50)", "50.0"]]


def test_the_highest_of_a_column_is_marked(demo: RunTree) -> None:
    rows = shots_tables(demo.material())["digits"].rows
    best = {row[0].text: [cell.kind == "best" for cell in row[1:]] for row in rows}
    # 1 shot: LAMM 52.5, CoOp 41.5; 16 shots: LAMM 80, CoOp 70.5; zero-shot 70
    assert best == {"ZeroshotCLIP": [True, False], "CoOp": [False, False], "LAMM": [False, True]}


def test_cells_name_the_groups_that_they_come_from(demo: RunTree) -> None:
    material = demo.material()
    (table,) = tables_of(material)
    row = next(row for row in table.rows if row[0].text == "LAMM")
    groups = material.runs.drop_duplicates("anchor").set_index("anchor").loc[list(row[2].sources)]
    assert list(zip(groups.dataset, groups.shots, strict=True)) == [("digits", 16), ("shapes", 16)]


def test_costs_have_the_mean_calibration_error_and_auroc_over_the_seeds(tree: RunTree) -> None:
    tree.run(seed=1, metrics={"ece": 2.0, "auroc": 90.0})
    tree.run(seed=2, metrics={"ece": 4.0})  # of this one all images were right
    tree.run(trainer="CoOp")  # of an earlier version
    rows = {row[0].text: [cell.text for cell in row[-2:]] for row in cost_tables(tree.material())[0].rows}
    assert rows == {"LAMM": ["3.0", "90.0"], "CoOp": ["–", "–"]}
