"""Table 2 of the paper beside ours: the change of Set 1, and a difference only where it means something."""

import shutil

from lamm.report.paper_incremental import incremental_paper_table
from tests.report.paper_lines import CFG, ELEVEN, lines_of
from tests.report.report_runs import RunTree


def write_steps(tree: RunTree, trainer: str, before: float, after: float, second: float, **changes: object) -> None:
    """A class-incremental result of two steps with 3 seeds."""
    config = {"INCREMENTAL": {"STEPS": 2, "SEEN_AS_NEGATIVES": False}}
    for seed in (1, 2, 3):
        for step, own in ((1, (before,)), (2, (after, second))):
            metrics = {f"set{place}_accuracy": value for place, value in enumerate(own, 1)}
            metrics |= {f"set{place}_accuracy_seen": value - 7 for place, value in enumerate(own, 1)}
            cfg = f"{changes.get('cfg', CFG)}+STEPS=2/step{step}"
            values = {"backbone": "ViT-B/16"} | changes | {"cfg": cfg, "trainer": trainer}
            tree.run(own[0], seed, protocol="incremental", metrics=metrics, config=config, **values)


def test_class_incremental_results_stand_beside_table_2(tree: RunTree) -> None:
    for dataset in ELEVEN:
        write_steps(tree, "LAMM", 84.0, 84.0, 88.0, dataset=dataset)
    paper = incremental_paper_table(tree.material())
    lines = lines_of(paper)
    assert [cell.split(" ")[0] for cell in lines["LAMM", "ours"]] == ["84.00", "84.00", "88.00", "0.00"]
    assert lines["LAMM", "difference"] == ["−0.14", "−0.14", "+0.97", "+0.00"]  # Table 2: 84.14, 84.14, 87.03, 0
    each, everything = paper.further
    assert everything.rows[0][-2].text.startswith("79.0")  # among all classes: 7 below (84 + 88) / 2
    label, rows = "", {}
    for row in each.rows:
        label = row[0].text or label
        rows[label, row[1].text] = dict(zip(each.headings[2:], (cell.text for cell in row[2:]), strict=True))
    assert rows["LAMM, Set 2", "ours"]["dtd"].startswith("88.00")
    assert rows["LAMM, Set 2", "difference"]["dtd"] == "+8.53"  # 88.00 − 79.47
    assert rows["LAMM, Set 1", "difference"]["eurosat"] == "−6.60"  # 84.00 − 90.60
    assert ("CoOp, Set 1", "ours") not in rows


def test_an_incomplete_method_of_table_2_takes_no_other_method_s_difference(tree: RunTree) -> None:
    for dataset in ELEVEN:
        write_steps(tree, "LAMM", 84.0, 84.0, 88.0, dataset=dataset)
    write_steps(tree, "CoOp", 80.0, 70.0, 60.0, dataset="dtd")
    lines = lines_of(incremental_paper_table(tree.material()))
    assert lines["LAMM", "difference"] == ["−0.14", "−0.14", "+0.97", "+0.00"]
    assert lines["CoOp", "ours"] == ["1 of 11"] * 4
    assert ("CoOp", "difference") not in lines


def test_class_incremental_runs_of_another_config_have_no_difference(tree: RunTree) -> None:
    for dataset in ELEVEN:
        write_steps(tree, "LAMM", 84.0, 84.0, 88.0, dataset=dataset, cfg="mine")
    paper = incremental_paper_table(tree.material())
    assert ("LAMM", "difference") not in lines_of(paper)
    assert paper.reason == f"config mine, reported with {CFG}"


def test_what_set_1_loses_has_one_name_and_sign_in_all_tables(tree: RunTree) -> None:
    write_steps(tree, "CoOp", 80.0, 70.0, 60.0, dataset="digits", backbone="tiny", cfg="tiny_ep50")
    paper = incremental_paper_table(tree.material())
    (everything,) = paper.further
    assert paper.table is not None
    for table in (paper.table, everything):
        place = list(table.headings).index("change of Set 1")
        row = next(row for row in table.rows if row[0].text == "CoOp")
        assert row[place].text.startswith("−10.0")
        said = " ".join([*table.headings, *table.notes])
        assert "minus that before; below 0: forgotten" in said
        assert "fall" not in said
        assert "set1" not in said


def test_a_fall_on_demo_data_has_no_difference(tree: RunTree) -> None:
    write_steps(tree, "CoOp", 80.0, 70.0, 60.0, dataset="digits", backbone="tiny", cfg="tiny_ep50")
    paper = incremental_paper_table(tree.material())
    lines = lines_of(paper)
    assert lines["CoOp", "ours"][3].startswith("−10.00")
    assert ("CoOp", "difference") not in lines
    assert "demo data" in paper.reason


def test_a_row_of_table_2_has_one_config_and_number_of_shots_and_says_which(tree: RunTree) -> None:
    write_steps(tree, "CoOp", 90.0, 80.0, 70.0, dataset="digits")
    write_steps(tree, "CoOp", 60.0, 50.0, 40.0, dataset="shapes")
    write_steps(tree, "CoOp", 10.0, 10.0, 10.0, dataset="digits", shots=4)
    write_steps(tree, "CoOp", 20.0, 20.0, 20.0, dataset="dtd", shots=4)
    paper = incremental_paper_table(tree.material(trainers=["CoOp"]))
    assert paper.table is not None
    assert any("Our configs: CoOp: " in note and ", 4 shots" in note for note in paper.table.notes)
    shutil.rmtree(tree.output / "incremental/dtd")
    paper = incremental_paper_table(tree.material())
    assert lines_of(paper)["CoOp", "ours"][:3] == ["75.00 ± 0.00", "65.00 ± 0.00", "55.00 ± 0.00"]
    assert any(", 16 shots" in note and ", 4 shots" not in note for note in paper.table.notes if "configs" in note)


def test_a_method_that_is_not_through_is_named_beside_table_2(tree: RunTree) -> None:
    write_steps(tree, "LAMM", 90.0, 90.0, 70.0, dataset="digits")
    write_steps(tree, "CoOp", 90.0, 80.0, 70.0, dataset="digits")
    for folder in tree.output.glob("incremental/digits/*/CoOp/*/*/step2"):
        shutil.rmtree(folder)
    paper = incremental_paper_table(tree.material())
    assert len(paper.problems) == 3
    assert all("CoOp" in problem and "not through its 2 steps" in problem for problem in paper.problems)
