"""A run on the demo data, and commands as a user starts them, in the test's own process."""

import shlex
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest

from lamm.commands.parser import run
from tests.train_command import Outcome, command_module, train


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo data has materialised itself."""
    return tmp_path_factory.mktemp("tools") / "data"


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_root: Path) -> None:
    """An empty working directory, the usual seeds, and the demo data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEEDS", raising=False)
    monkeypatch.setenv("DATA", str(data_root))


@pytest.fixture(scope="session")
def passing_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that is gone when photos are classified."""
    return tmp_path_factory.mktemp("passing") / "data"


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory, passing_root: Path) -> Path:
    """The folder of a short LAMM run on `digits`, with the data that it was trained on under another name."""
    folder = tmp_path_factory.mktemp("tools") / "run"
    line = f"--trainer LAMM --dataset digits --shots 2 --seed 1 --root {passing_root} --output-dir {folder}"
    done = train(f"{line} OPTIM.MAX_EPOCH 2 TEST.SPLIT val TRAINER.LAMM.PREC fp32")
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="session")
def digits_photos(digits_run: Path, passing_root: Path) -> Path:
    """The scans, in folders of their class names; the run's data root is gone."""
    photos = passing_root.with_name("photos")
    (passing_root / "digits" / "images").rename(photos)
    return photos


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """(tool, line) → its exit code and what it printed."""
    scripts: dict[str, ModuleType] = {}

    def start(tool: str, line: str) -> Outcome:
        script = scripts.setdefault(tool, command_module(tool))
        out, err, code = StringIO(), StringIO(), 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                run(script.parser(), script.main, shlex.split(line))
            except SystemExit as stop:
                code = int(stop.code or 0)
        return Outcome(code, out.getvalue(), err.getvalue())

    return start
