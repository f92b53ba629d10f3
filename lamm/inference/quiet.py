"""Loading a model without the lines of a training run."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from lamm.log import logger


@contextmanager
def warnings_alone() -> Iterator[None]:
    """The log keeps to warnings, and what is printed goes to stderr: stdout is left to a command's result."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(level)
