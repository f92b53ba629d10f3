"""Means over data sets: seed by seed where the seeds allow it."""

import numpy as np
import pytest
from report_runs import RunTree

from lamm.report.shots_tables import average_table, shots_tables
from lamm.results.averages import average_curves

ACCURACY = {("digits", 1): 60.0, ("digits", 2): 64.0, ("shapes", 1): 80.0, ("shapes", 2): 70.0}


def test_the_mean_is_taken_seed_by_seed(tree: RunTree) -> None:
    for (dataset, seed), accuracy in ACCURACY.items():
        tree.run(accuracy, seed, dataset=dataset)
    (curve,) = average_curves(tree.material().curves, ["digits", "shapes"])
    assert curve.points[16].values == pytest.approx(((60 + 80) / 2, (64 + 70) / 2))
    assert len(curve.runs[16]) == 4


def test_other_seeds_on_another_data_set_leave_one_number_without_spread(tree: RunTree) -> None:
    for (dataset, seed), accuracy in ACCURACY.items():
        tree.run(accuracy, seed + 5 * (dataset == "shapes"), dataset=dataset)
    (curve,) = average_curves(tree.material().curves, ["digits", "shapes"])
    assert curve.points[16].values == pytest.approx((np.mean(list(ACCURACY.values())),))


def test_zero_shot_runs_at_several_shots_count_as_one(tree: RunTree) -> None:
    for dataset, accuracy in (("digits", 40.0), ("shapes", 30.0)):
        for shots in (1, 16):
            tree.run(accuracy, trainer="ZeroshotCLIP", cfg="tiny", dataset=dataset, shots=shots)
    (curve,) = average_curves(tree.material().curves, ["digits", "shapes"])
    assert curve.points[0].values == pytest.approx((35.0,))


def test_what_a_data_set_lacks_is_an_empty_cell_of_the_mean(tree: RunTree) -> None:
    for dataset in ("digits", "shapes"):
        tree.run(60.0, dataset=dataset)
    tree.run(50.0, dataset="digits", shots=1)
    tree.run(55.0, dataset="digits", trainer="CoOp")
    table = average_table(tree.material())
    assert table is not None
    assert list(table.headings) == ["method", "1", "16"]
    assert [[cell.text for cell in row] for row in table.rows] == [["LAMM", "–", "60.0"]]
    assert table.notes[1] == "Without a mean, since no number of shots is finished on all: CoOp."


def test_a_single_data_set_has_no_mean(tree: RunTree) -> None:
    tree.run()
    assert average_table(tree.material()) is None


def test_the_highest_of_a_column_is_marked(demo: RunTree) -> None:
    rows = shots_tables(demo.material())["digits"].rows
    best = {row[0].text: [cell.kind == "best" for cell in row[1:]] for row in rows}
    # 1 shot: LAMM 52.5, CoOp 41.5; 16 shots: LAMM 80, CoOp 70.5; zero-shot 70
    assert best == {"ZeroshotCLIP": [True, False], "CoOp": [False, False], "LAMM": [False, True]}


def test_cells_name_the_groups_that_they_come_from(demo: RunTree) -> None:
    material = demo.material()
    table = average_table(material)
    assert table is not None
    row = next(row for row in table.rows if row[0].text == "LAMM")
    keys = {anchor: key for key, anchor in material.anchors.items()}
    assert [(keys[anchor].dataset, keys[anchor].shots) for anchor in row[2].sources] == [("digits", 16), ("shapes", 16)]
