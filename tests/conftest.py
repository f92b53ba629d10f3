"""Fixtures for all tests: one small random CLIP, and what the log says.

Its place makes `reference` importable from every test. Workers that run beside each other have one thread each, also
in the programs that they start.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.log import logger
from tests.clip.small_clip_models import open_clip_model

pytest_plugins = ["tests.trainers.fixtures"]
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started behind `&` by a script; tests send Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
INVERSE_TEMPERATURE = 20.0


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs cache, in the programs that tests start too, goes into a folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--import` puts the imported code's folder first on the path of its process, which here is that of all tests."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(scope="session")
def small_model() -> Any:
    """An open_clip `CLIP` with random weights: text width 32, 2 layers, 77 positions; images 32 x 32; E = 64."""
    model = open_clip_model(width=32, heads=2, layers=2)
    with torch.no_grad():
        model.logit_scale.fill_(torch.tensor(INVERSE_TEMPERATURE).log())
    return model


@pytest.fixture(scope="session")
def small_clip(small_model: Any) -> ClipModel:
    """The project's view of `small_model`."""
    return wrap_clip(small_model, "small")


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages logged during the test, arguments filled in."""
    lines: list[str] = []
    monkeypatch.setattr(logger, "info", lambda message, *arguments: lines.append(message % arguments))
    return lines
