"""Which runs a report is made of."""

import pytest

from lamm.errors import ResultsError
from tests.report.report_runs import RunTree


def test_a_choice_of_trainers_keeps_zero_shot_beside_them(tree: RunTree) -> None:
    for trainer in ("LAMM", "CoOp", "MaPLe", "ZeroshotCLIP"):
        tree.run(trainer=trainer)
    material = tree.material(trainers=["LAMM"])
    assert {run.key.trainer for run in material.finished} == {"LAMM", "ZeroshotCLIP"}


def test_a_trainer_without_runs_is_an_error_that_suggests_one(tree: RunTree) -> None:
    tree.run()
    with pytest.raises(ResultsError, match="LAM.*LAMM"):
        tree.material(trainers=["LAM"])


def test_runs_of_which_none_is_finished_are_an_error(tree: RunTree) -> None:
    tree.run(status="running")
    with pytest.raises(ResultsError, match="none of the 1 runs .* is finished"):
        tree.material()


def test_evaluations_and_steps_are_no_few_shot_runs(tree: RunTree) -> None:
    tree.run()
    for protocol in ("evaluation", "incremental"):
        tree.run(protocol=protocol, cfg=f"tiny_ep50+of={protocol}")
    material = tree.material()
    assert [key.protocol for key in material.few_shot] == ["few-shot"]
    assert len(material.finished) == 3


def test_facts_come_from_config_and_results(tree: RunTree) -> None:
    folder = tree.run(backbone="ViT-B/16", peak_memory_mb=12.5, precision="amp")
    (facts,) = tree.material().facts.values()
    assert (facts.backbone, facts.precision, facts.peak_memory_mb) == ("ViT-B/16", "amp", 12.5)
    assert facts.source == folder / "results.json"
    assert facts.data_root == str(tree.data)


@pytest.mark.parametrize("content", ["- a list", "{", "MODEL: 3", None])
def test_a_config_that_is_missing_or_odd_tells_nothing(tree: RunTree, content: str | None) -> None:
    file = tree.run() / "config.yaml"
    file.unlink() if content is None else file.write_text(content)
    (facts,) = tree.material().facts.values()
    assert (facts.backbone, facts.data_root) == ("", "")


def test_runs_on_a_part_of_the_classes_are_not_beside_the_others(tree: RunTree) -> None:
    tree.run(60.0)
    tree.run(90.0, cfg="tiny_ep50+SUBSAMPLE_CLASSES=base", config={"DATASET": {"SUBSAMPLE_CLASSES": "base"}})
    material = tree.material()
    assert [key.cfg for key in material.few_shot] == ["tiny_ep50"]
    assert material.on_some_classes == 1
