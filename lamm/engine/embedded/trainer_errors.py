"""Errors that are a user's mistake (one line) and also the built-in type that trainers written for Dassl catch."""

from lamm.errors import CheckpointError, ConfigError


class ConfigValueError(ConfigError, ValueError):
    """A config value that no part of the engine understands."""


class MissingCheckpointError(CheckpointError, FileNotFoundError):
    """A checkpoint that is not where it should be."""


class CheckpointMismatchError(CheckpointError, RuntimeError):
    """A checkpoint whose tensors do not fit the model."""
