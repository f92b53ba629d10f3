"""The kinds of experiment that the `protocol` of `results.json` names."""

FEW_SHOT = "few-shot"
"""An ordinary training run."""
EVALUATION = "evaluation"
"""A test of a model that is there."""
INCREMENTAL = "incremental"
"""One step of class-incremental learning."""
