"""The paper's tables beside ours: the right rows, a difference only where it means something."""

import pytest

from lamm.report.drawings import curve_drawings
from lamm.report.paper import few_shot_paper_table, further_overrides
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
    assert paper.command.startswith("python tools/sweep.py paper\n")


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
    assert paper.command.startswith("python tools/sweep.py paper\n")


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


def test_without_runs_there_is_the_command_alone(tree: RunTree) -> None:
    tree.run(trainer="MyMethod")
    paper = few_shot_paper_table(tree.material(), "loss_parts")
    assert paper.table is None
    assert paper.command == "python tools/sweep.py paper_loss_parts --datasets digits"


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
