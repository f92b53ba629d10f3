"""The evaluator: its printed text to the character, its results, the confusion matrix."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.evaluation import EVALUATOR_REGISTRY, EvaluatorBase, build_evaluator, compute_accuracy

NAMES = {label: f"class_{label}" for label in range(3)}
# 4 of class 0 right, 4 of class 1 and 3 of class 2 all taken for 0: per class 100, 0, 0.
TRUE = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
PREDICTED = [0] * 11


def config(*settings):
    cfg = get_cfg_default()
    cfg.VERBOSE = False
    cfg.merge_from_list(list(settings))
    return cfg


def filled(cfg, true=TRUE, predicted=PREDICTED, classes=3):
    evaluator = build_evaluator(cfg, lab2cname=NAMES)
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), classes).float()
    labels = torch.tensor(true)
    for part in (slice(0, 5), slice(5, None)):
        evaluator.process(logits[part], labels[part])
    return evaluator


def test_the_printed_result_is_that_of_dassl(capsys):
    results = filled(config()).evaluate()
    # F1 of class 0 is 2·4 / (2·4 + 7 + 0), of the others 0.
    macro_f1 = 100 * (8 / 15) / 3
    assert capsys.readouterr().out == (
        "=> result\n* total: 11\n* correct: 4\n* accuracy: 36.4%\n* error: 63.6%\n* macro_f1: 17.8%\n"
    )
    assert list(results) == ["accuracy", "error_rate", "macro_f1"]
    assert list(results.values()) == pytest.approx([400 / 11, 700 / 11, macro_f1])
    assert type(results["accuracy"]) is float


def test_the_per_class_lines_are_those_of_dassl(capsys):
    results = filled(config("TEST.PER_CLASS_RESULT", True)).evaluate()
    assert capsys.readouterr().out.endswith(
        "=> per-class result\n"
        "* class: 0 (class_0)\ttotal: 4\tcorrect: 4\tacc: 100.0%\n"
        "* class: 1 (class_1)\ttotal: 4\tcorrect: 0\tacc: 0.0%\n"
        "* class: 2 (class_2)\ttotal: 3\tcorrect: 0\tacc: 0.0%\n"
        "* average: 33.3%\n"
    )
    assert list(results)[-1] == "perclass_accuracy"
    assert results["perclass_accuracy"] == pytest.approx(100 / 3)


def test_a_class_without_test_images_has_its_line(capsys):
    results = filled(config("TEST.PER_CLASS_RESULT", True), true=[0, 0, 2], predicted=[0, 1, 2]).evaluate()
    assert "* class: 1 (class_1)\ttotal: 0\tcorrect: 0\tacc: –\n" in capsys.readouterr().out
    assert results["perclass_accuracy"] == 75.0


def test_per_class_results_need_class_names():
    with pytest.raises(AssertionError, match="lab2cname"):
        build_evaluator(config("TEST.PER_CLASS_RESULT", True))


def test_counts_have_thousands_commas(capsys):
    filled(config(), true=[0] * 1234, predicted=[0] * 1234).evaluate()
    assert "* total: 1,234\n* correct: 1,234\n" in capsys.readouterr().out


def test_macro_f1_averages_over_the_classes_among_the_labels_only():
    # Class 2 is predicted once but never true: F1 of class 0 is 2/3, of class 1 is 1.
    results = filled(config(), true=[0, 0, 1], predicted=[0, 2, 1]).evaluate()
    assert results["macro_f1"] == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_macro_f1_is_that_of_scikit_learn():
    draw = np.random.default_rng(1).integers
    true, predicted = draw(0, 6, 200).tolist(), draw(0, 9, 200).tolist()
    expected = f1_score(true, predicted, average="macro", labels=np.unique(true), zero_division=0)
    results = filled(config(), true, predicted, classes=9).evaluate()
    assert results["macro_f1"] == pytest.approx(100 * expected, rel=1e-12)


def test_the_confusion_matrix_has_rows_of_true_classes_that_sum_to_one(tmp_path, capsys):
    cfg = config("TEST.COMPUTE_CMAT", True, "OUTPUT_DIR", str(tmp_path))
    filled(cfg, true=[0, 0, 1], predicted=[0, 1, 1]).evaluate()
    path = tmp_path / "cmat.pt"
    assert f"Confusion matrix is saved to {path}\n" in capsys.readouterr().out
    numpy_globals = [np._core.multiarray._reconstruct, np.ndarray, np.dtype, np.dtypes.Float64DType]
    with torch.serialization.safe_globals(numpy_globals):
        matrix = torch.load(path, weights_only=True)
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, [[0.5, 0.5], [0.0, 1.0]])


def test_reset_forgets_what_was_processed():
    evaluator = filled(config())
    evaluator.reset()
    evaluator.process(torch.eye(3), torch.arange(3))
    assert evaluator.evaluate()["accuracy"] == 100.0


def test_the_config_names_the_evaluator(capsys):
    cfg = config()
    cfg.VERBOSE = True
    assert isinstance(build_evaluator(cfg), EvaluatorBase)
    assert capsys.readouterr().out == "Loading evaluator: Classification\n"
    with pytest.raises(ValueError, match="Classification"):
        build_evaluator(config("TEST.EVALUATOR", "Clasification"))
    assert "Classification" in EVALUATOR_REGISTRY.registered_names()


LOGITS = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
LABELS = torch.tensor([0, 1, 2, 2])


def test_accuracy_counts_the_labels_among_the_k_highest():
    first, second, third = compute_accuracy(LOGITS, LABELS, topk=(1, 2, 3))
    assert (first.item(), second.item(), third.item()) == (50.0, 75.0, 100.0)
    assert first.shape == (1,)


def test_accuracy_takes_the_first_of_several_outputs():
    assert compute_accuracy((LOGITS, None), LABELS)[0].item() == 50.0
