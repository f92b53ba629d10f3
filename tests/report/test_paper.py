"""The paper's tables beside ours: the right rows, a difference only where it means something."""

import shutil

import pytest

from lamm.report.drawings import curve_drawings
from lamm.report.paper import few_shot_paper_table, further_overrides
from lamm.report.paper_protocols import incremental_paper_table, transfer_paper_table
from lamm.report.tables import means
from lamm.results.published import published
from lamm.run.record import RunClasses
from tests.report.report_runs import CFG, ELEVEN, RunTree, lines_of, write_eleven


def test_the_mean_of_eleven_has_its_difference(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    paper = few_shot_paper_table(tree.material(), "few_shot")
    lines = lines_of(paper)
    assert lines["LAMM", "ours"] == ["–", "–", "–", "–", "80.50 ± 0.00"]
    assert lines["LAMM", "paper"][-1] == "81.13"
    assert lines["LAMM", "difference"][-1] == "−0.63"  # 80.50 − 81.13
    assert ("CoOp", "ours") not in lines
    assert paper.reason == ""
    assert paper.command.startswith("lamm sweep paper\n")


def test_demo_data_have_no_difference_but_a_reason(demo: RunTree) -> None:
    paper = few_shot_paper_table(demo.material(), "few_shot")
    assert {kind for _, kind in lines_of(paper)} == {"ours", "paper"}
    assert "demo data" in paper.reason
    assert "--datasets digits shapes" in paper.command


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backbone": "RN50"}, "backbone RN50"),
        ({"backbone": ""}, "don't say their backbone"),
        ({"seeds": (1, 2)}, "2 seeds, reported with 3"),
        ({"cfg": f"{CFG}+MAX_EPOCH=2"}, "MAX_EPOCH=2"),
        ({"cfg": "my_own_ep2"}, f"config my_own_ep2, reported with {CFG}"),
        ({"cfg": f"{CFG}_released"}, f"config {CFG}_released, reported with {CFG}"),
    ],
)
def test_other_settings_have_no_difference_but_a_reason(tree: RunTree, changes: dict, reason: str) -> None:
    write_eleven(tree, 80.5, **changes)
    paper = few_shot_paper_table(tree.material(), "few_shot")
    assert ("LAMM", "ours") in lines_of(paper)
    assert ("LAMM", "difference") not in lines_of(paper)
    assert reason in paper.reason


def test_a_split_made_here_has_no_difference_but_a_reason(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    for folder in tree.output.glob("dtd/*/*/*/seed2"):
        RunClasses(["a"], [], split_made_here=True).write(folder)
    paper = few_shot_paper_table(tree.material(), "few_shot")
    assert ("LAMM", "difference") not in lines_of(paper)
    assert paper.reason == "not the published split, but one made here (dtd)"


def test_zero_shot_with_several_templates_has_no_difference_but_a_reason(tree: RunTree) -> None:
    write_eleven(tree, 65.0, (1,), trainer="ZeroshotCLIP", cfg="vit_b16_ensemble")
    paper = few_shot_paper_table(tree.material(), "few_shot")
    assert ("zero-shot CLIP", "difference") not in lines_of(paper)
    assert paper.reason == "config vit_b16_ensemble, reported with vit_b16"


def test_the_papers_config_comes_before_others(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    write_eleven(tree, 90.0, cfg="ep2")
    assert lines_of(few_shot_paper_table(tree.material(), "few_shot"))["LAMM", "difference"][-1] == "−0.63"


def test_an_incomplete_method_takes_no_other_method_s_difference(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    tree.run(50.0, dataset="caltech101", cfg=CFG, backbone="ViT-B/16", trainer="CoOp")
    paper = few_shot_paper_table(tree.material(), "few_shot")
    lines = lines_of(paper)
    assert lines["LAMM", "difference"][-1] == "−0.63"
    assert lines["CoOp", "ours"] == ["–", "–", "–", "–", "1 of 11"]
    assert ("CoOp", "difference") not in lines
    assert paper.table is not None
    assert "of 11 data sets" in paper.table.caption
    assert any("finished on k of n data sets" in note for note in paper.table.notes)
    cell = next(row[-1] for row in paper.table.rows if row[-1].text == "1 of 11")
    assert len(cell.sources) == 1
    assert "imagenet" in cell.detail
    assert "caltech101" not in cell.detail
    assert paper.command.startswith("lamm sweep paper\n")


def test_a_column_of_fewer_seeds_alone_has_no_difference(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    write_eleven(tree, 70.0, seeds=(1, 2), shots=1)
    tree.run(65.0, 3, dataset=ELEVEN[0], cfg=CFG, backbone="ViT-B/16", shots=1)
    paper = few_shot_paper_table(tree.material(), "few_shot")
    lines = lines_of(paper)
    assert lines["LAMM", "ours"][0] == "70.00"
    assert lines["LAMM", "difference"] == ["–", "–", "–", "–", "−0.63"]
    assert paper.reason == "2 seeds, reported with 3"


def test_a_mean_that_lacks_a_data_set_has_no_difference(tree: RunTree) -> None:
    for dataset in ("dtd", "eurosat"):
        for seed in (1, 2, 3):
            tree.run(70.0, seed, dataset=dataset, cfg=CFG, backbone="ViT-B/16")
    paper = few_shot_paper_table(tree.material(), "few_shot")
    assert ("LAMM", "difference") not in lines_of(paper)
    assert "dtd" in paper.reason


def test_demo_runs_beside_the_eleven_are_left_out_of_the_mean(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    tree.run(10.0, dataset="digits")
    assert lines_of(few_shot_paper_table(tree.material(), "few_shot"))["LAMM", "difference"][-1] == "−0.63"


def test_each_variant_of_the_loss_stands_beside_its_own_row(tree: RunTree) -> None:
    variants = {
        "all": "",
        "CE only": "+HIERARCHICAL_LOSS=False",
        "without WC": "+LAMBDA_WC=0.0",
        "CE + KD": "+LAMBDA_WC=0+LAMBDA_COS=0.0",
    }
    for number, overrides in enumerate(variants.values()):
        tree.run(60.0 + number, cfg=f"tiny_ep50{overrides}")
    lines = lines_of(few_shot_paper_table(tree.material(), "loss_parts"))
    ours = {label: cells for (label, kind), cells in lines.items() if kind == "ours"}
    assert ours == {label: [f"{60 + number}.00"] for number, label in enumerate(variants)}


def test_label_initialisation_has_its_rows(tree: RunTree) -> None:
    tree.run(61.0, shots=1)
    tree.run(52.0, shots=1, cfg="tiny_ep50+LABEL_INIT=random")
    lines = lines_of(few_shot_paper_table(tree.material(), "label_init"))
    assert (lines["words", "ours"][0], lines["random", "ours"][0]) == ("61.00", "52.00")


def test_what_others_report_says_whose_number_it_is_and_what_a_method_uses(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    paper = few_shot_paper_table(tree.material(), "field")
    lines = lines_of(paper)
    assert lines["LAMM", "ours"][4] == "80.50 ± 0.00"
    assert lines["LAMM", "difference"][4] == "−0.63"
    assert lines["GDA", "paper"][4:6] == ["81.85", "own logs (logs/architecture.log)"]
    assert lines["GDA, run by others", "paper"][4:6] == ["81.70", "CLIP-SVD"]
    assert lines["AWT", "paper"][6].startswith("class descriptions of a language model")
    assert lines["MPS-Tuning", "paper"][:6] == [*["–"] * 5, ""]
    assert {len(row) for row in paper.table.rows} == {len(paper.table.headings)}
    assert paper.table.notes[0] == "Reported: each row names its own; ViT-B/16, 3 seeds."


def test_without_runs_there_is_the_command_alone(tree: RunTree) -> None:
    tree.run(trainer="MyMethod")
    paper = few_shot_paper_table(tree.material(), "loss_parts")
    assert paper.table is None
    assert paper.command == "lamm sweep paper_loss_parts --datasets digits"


def test_overrides_beside_the_rows_are_told() -> None:
    table = published("few_shot")
    row, without = (next(row for row in table.rows if row.label == label) for label in ("LAMM", "LAMM without HL"))
    assert further_overrides(table, row, "tiny") == []
    assert further_overrides(table, row, "tiny+MAX_EPOCH=2") == ["MAX_EPOCH=2"]
    assert further_overrides(table, row, "tiny+HIERARCHICAL_LOSS=False") is None
    assert further_overrides(table, without, "tiny") is None
    assert further_overrides(table, without, "tiny+LAMM.HIERARCHICAL_LOSS=false") == []
    parts = published("loss_parts")
    row = next(row for row in parts.rows if row.label == "without WC")
    assert further_overrides(parts, row, "tiny+LAMBDA_WC=0") == []
    assert further_overrides(parts, row, "tiny+LAMBDA_WC=0.1") is None
    assert further_overrides(parts, row, "tiny+WC=0") is None


def test_the_papers_curve_is_dotted_for_the_mean_of_eleven_alone(tree: RunTree) -> None:
    write_eleven(tree, 80.5)
    tree.run(10.0, dataset="digits")
    material = tree.material()
    mean, *others = curve_drawings(material, means(material))
    assert mean.title == "mean of 11 data sets, ViT-B/16"
    assert mean.notes == ["Dotted: LAMM, AAAI 2024 (arXiv:2312.08212), Table 3 and Figure 3."]
    assert len(others) == 12
    assert not any(other.notes for other in others)


def test_the_papers_curve_is_not_drawn_on_demo_data(demo: RunTree) -> None:
    material = demo.material()
    mean = curve_drawings(material, means(material))[0]
    assert len(mean.notes) == 1
    assert "not drawn: demo data" in mean.notes[0]


def write_transfer(tree: RunTree, source: str, targets: dict[str, float], **changes: object) -> None:
    """A model trained on `source`, evaluated on the targets, all of the same classes; 3 seeds."""
    for seed in (1, 2, 3):
        trained = tree.run(72.0, seed, dataset=source, **changes)
        RunClasses(["a", "b"], []).write(trained)
        for target, accuracy in targets.items():
            named = {"EVALUATION": {"MODEL_DIR": str(trained), "LOAD_EPOCH": -1}}
            values = {"cfg": "tiny_ep50"} | changes
            values["cfg"] = f"{values['cfg']}+MODEL_DIR=x"
            folder = tree.run(accuracy, seed, dataset=target, protocol="evaluation", config=named, **values)
            RunClasses(["a", "b"], []).write(folder)


def test_domain_generalisation_stands_beside_table_1(tree: RunTree) -> None:
    write_transfer(tree, "imagenet", {"imagenetv2": 65.0, "imagenet_sketch": 49.0}, cfg=CFG, backbone="ViT-B/16")
    paper = transfer_paper_table(tree.material())
    lines = lines_of(paper)
    assert [cell.split(" ")[0] for cell in lines["LAMM", "ours"]] == ["72.00", "65.00", "49.00", "62.00"]
    assert lines["LAMM", "difference"] == ["−0.73", "−0.13", "+0.89", "+0.01"]  # 72.73, 65.13, 48.11, 61.99


def test_the_papers_shots_come_first_in_table_1(tree: RunTree) -> None:
    for shots, target in ((4, 50.0), (16, 65.0), (32, 70.0)):
        targets = {"imagenetv2": target, "imagenet_sketch": 49.0}
        write_transfer(tree, "imagenet", targets, cfg=CFG, backbone="ViT-B/16", shots=shots)
    paper = transfer_paper_table(tree.material())
    lines = lines_of(paper)
    assert lines["LAMM", "ours"][1].startswith("65.00")
    assert lines["LAMM", "difference"][1] == "−0.13"
    assert paper.reason == ""


def test_other_shots_alone_have_no_difference_in_table_1(tree: RunTree) -> None:
    write_transfer(
        tree, "imagenet", {"imagenetv2": 65.0, "imagenet_sketch": 49.0}, cfg=CFG, backbone="ViT-B/16", shots=4
    )
    paper = transfer_paper_table(tree.material())
    assert ("LAMM", "difference") not in lines_of(paper)
    assert paper.reason == "4 shots, reported with 16"


def test_a_target_that_lacks_a_seed_has_no_difference(tree: RunTree) -> None:
    write_transfer(tree, "imagenet", {"imagenetv2": 65.0, "imagenet_sketch": 49.0}, cfg=CFG, backbone="ViT-B/16")
    shutil.rmtree(next(tree.output.rglob("imagenet_sketch/shots_16/LAMM/*/seed3")))
    paper = transfer_paper_table(tree.material())
    assert ("LAMM", "difference") not in lines_of(paper)
    assert paper.reason == "2 seeds, reported with 3"


def test_an_evaluation_whose_training_run_is_gone_is_listed(tree: RunTree) -> None:
    write_transfer(tree, "shapes", {"shapes_sketch": 40.0})
    gone = tree.output / "shapes/shots_16/LAMM/tiny_ep50/seed2"
    shutil.rmtree(gone)
    (problem,) = transfer_paper_table(tree.material()).problems
    assert "LAMM/tiny_ep50/seed2 of " in problem
    assert problem.endswith("is missing")
    assert problem.replace("&", "&amp;") in tree.page()


def test_domain_generalisation_on_demo_data_says_why_it_stands_alone(tree: RunTree) -> None:
    write_transfer(tree, "shapes", {"shapes_sketch": 40.0})
    paper = transfer_paper_table(tree.material())
    assert paper.table is None
    assert "demo data" in paper.reason
    (table,) = paper.further
    cells = dict(zip(table.headings, table.rows[0], strict=True))
    assert cells["on shapes"].text.startswith("72.0")
    assert cells["shapes_sketch"].text.startswith("40.0")
    assert cells["mean"].text == "56.0"


def test_cells_of_a_target_lead_to_its_evaluations(tree: RunTree) -> None:
    write_transfer(tree, "shapes", {"shapes_sketch": 40.0, "shapes_noisy": 30.0})
    material = tree.material()
    (table,) = transfer_paper_table(material).further
    datasets = dict(zip(material.runs.anchor, material.runs.dataset, strict=True))
    cells = dict(zip(table.headings, table.rows[0], strict=True))
    found = {name: [datasets[anchor] for anchor in cells[name].sources] for name in ("on shapes", "shapes_noisy")}
    assert found == {"on shapes": ["shapes"], "shapes_noisy": ["shapes_noisy"]}


def test_base_to_new_on_several_data_sets_has_its_mean(tree: RunTree) -> None:
    for dataset, (base, new) in {"digits": (80.0, 40.0), "shapes": (60.0, 20.0)}.items():
        halves = [{"DATASET": {"SUBSAMPLE_CLASSES": part}} for part in ("base", "new")]
        trained = tree.run(base, dataset=dataset, cfg="tiny_ep50+SUBSAMPLE_CLASSES=base", config=halves[0])
        config = {**halves[1], "EVALUATION": {"MODEL_DIR": str(trained), "LOAD_EPOCH": -1}}
        cfg = "tiny_ep50+SUBSAMPLE_CLASSES=new+MODEL_DIR=x"
        tree.run(new, dataset=dataset, protocol="evaluation", cfg=cfg, config=config)
    *_, mean = transfer_paper_table(tree.material()).further
    assert "mean of 2 data sets" in mean.caption
    ((name, _, base_cell, new_cell, harmonic, *_),) = mean.rows
    assert [cell.text for cell in (name, base_cell, new_cell, harmonic)] == ["LAMM", "70.0", "30.0", "42.0"]
    assert (len(base_cell.sources), len(new_cell.sources), len(harmonic.sources)) == (2, 2, 4)


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
    numbers = dict(zip(everything.headings, everything.rows[0], strict=True))
    assert numbers["mean among all classes"].text.startswith("79.0")  # 7 below (84 + 88) / 2
    assert numbers["average accuracy"].detail == "its runs don't tell the number of test images"
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
    assert ("CoOp", "difference") not in lines_of(paper)
    assert "demo data" in paper.reason
    assert paper.table is not None
    for table in (paper.table, everything):
        place = list(table.headings).index("change of Set 1")
        row = next(row for row in table.rows if row[0].text == "CoOp")
        assert row[place].text.startswith("−10.0")
        said = " ".join([*table.headings, *table.notes])
        assert "minus that before; below 0: forgotten" in said
        assert "fall" not in said
        assert "set1" not in said


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
