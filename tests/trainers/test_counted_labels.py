"""How many classes of an evaluation have a learned label, and how many CLIP's own: counted, and recorded."""

import json
from pathlib import Path

import pytest
from lamm_trainers.lamm import LabelAlignmentMixin

from lamm.checkpoints.by_class_name import load_learned
from tests.train_command import train
from tests.trainers.learner_cases import NAMES, Case


def test_loading_says_how_many_classes_have_a_learned_label(case: Case) -> None:
    learner = case.build()
    expected = len(NAMES) if isinstance(learner, LabelAlignmentMixin) else None
    assert load_learned(learner, case.build().state_dict(), "file") == expected


@pytest.fixture(scope="module")
def base_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LAMM on the first five digits."""
    folder = tmp_path_factory.mktemp("counted")
    line = f"--trainer LAMM --dataset digits --shots 1 --seed 1 --root {folder}/data --output-dir {folder}/run"
    done = train(f"{line} OPTIM.MAX_EPOCH 1 DATASET.SUBSAMPLE_CLASSES base")
    assert done.code == 0, done.err
    return folder / "run"


@pytest.mark.parametrize(("subset", "learned", "from_clip"), [("base", 5, 0), ("new", 0, 5), ("all", 5, 5)])
def test_an_evaluation_records_whose_labels_its_classes_have(
    base_run: Path, tmp_path: Path, subset: str, learned: int, from_clip: int
) -> None:
    line = f"--trainer LAMM --dataset digits --shots 1 --seed 1 --root {base_run.parent}/data --output-dir {tmp_path}"
    done = train(f"{line} --eval-only --model-dir {base_run} DATASET.SUBSAMPLE_CLASSES {subset}")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "results.json").read_text())["metrics"]
    assert (metrics["labels_learned"], metrics["labels_from_clip"]) == (learned, from_clip)


def test_a_training_run_has_no_such_counts(base_run: Path) -> None:
    assert "labels_learned" not in json.loads((base_run / "results.json").read_text())["metrics"]
