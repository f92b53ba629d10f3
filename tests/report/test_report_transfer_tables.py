"""Table 1 of the paper beside ours, and the tables of every evaluation of a trained model."""

import shutil

from lamm.report.paper_transfer import transfer_paper_table
from lamm.run.record import RunClasses
from tests.report.paper_lines import CFG, lines_of
from tests.report.report_runs import RunTree


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


def test_another_config_has_no_difference_in_table_1(tree: RunTree) -> None:
    write_transfer(tree, "imagenet", {"imagenetv2": 65.0, "imagenet_sketch": 49.0}, cfg="mine", backbone="ViT-B/16")
    paper = transfer_paper_table(tree.material())
    assert ("LAMM", "difference") not in lines_of(paper)
    assert paper.reason == f"config mine, reported with {CFG}"


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
    keys = {anchor: key for key, anchor in material.anchors.items()}
    cells = dict(zip(table.headings, table.rows[0], strict=True))
    found = {name: [keys[anchor].dataset for anchor in cells[name].sources] for name in ("on shapes", "shapes_noisy")}
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
