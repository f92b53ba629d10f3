"""Runs to report on."""

from pathlib import Path

import pytest

from tests.report.report_runs import RunTree, write_demo


@pytest.fixture
def tree(tmp_path: Path) -> RunTree:
    """A place for runs."""
    return RunTree(tmp_path)


@pytest.fixture
def demo(tree: RunTree) -> RunTree:
    """The runs of `write_demo`."""
    write_demo(tree)
    return tree
