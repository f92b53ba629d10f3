"""Typed errors for a user's mistakes.

Library code raises them; commands (`lamm.commands`) turn them into one line on stderr and exit code 2.
A message says what is wrong, where, and what to do, on one line.
"""


class LammError(Exception):
    """A mistake that the user can mend; the base of all errors below."""


class ConfigError(LammError):
    """A config key, value, file or command-line argument that can't be used."""


class DataError(LammError):
    """A data set, split file, class name or image that is missing or broken."""


class BackboneError(LammError):
    """A CLIP model that is missing, damaged, or can't do what is asked of it."""


class CheckpointError(LammError):
    """A checkpoint that is missing, damaged, or belongs to another model."""


class PromptError(LammError):
    """A class name or template from which no prompt can be made."""


class EngineError(LammError):
    """An engine that was asked for by name and can't run."""


class ResultsError(LammError):
    """Runs whose results are missing, unfinished or can't be read."""
