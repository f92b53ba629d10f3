"""Errors that are one clear line for a user and still the built-in types that Dassl's contract names."""

from lamm.errors import ConfigError, DataError


class ChoiceError(ConfigError, AssertionError, ValueError):
    """A name in the config that is not among those on offer (upstream: ValueError or AssertionError)."""


class InvalidDataError(DataError, AssertionError, ValueError):
    """A data set that can't be used as it is given (upstream: ValueError or AssertionError)."""
