"""Two hundred seeded examples of what tools/fuzz.py does a thousand times in processes of its own."""

import functools
import importlib.util
import math
import random
import shutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lamm_trainers import TRAINERS

from lamm.errors import LammError
from tests.train_command import ROOT, call_tool, plan, train

spec = importlib.util.spec_from_file_location("fuzz", ROOT / "tools" / "fuzz.py")
assert spec is not None
assert spec.loader is not None
fuzz: ModuleType = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)

seeded = settings(derandomize=True, deadline=None, database=None, phases=[Phase.generate])
VALUES = (
    st.sampled_from(fuzz.VALUES)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
    | st.floats().map(repr)
    | st.integers(-(10**30), 10**30).map(str)
)


def require_one_line(text: str) -> None:
    assert "Traceback" not in text
    assert len(text) <= fuzz.CHARACTERS
    assert len(text.splitlines()) <= fuzz.LINES


@settings(seeded, max_examples=140)
@given(
    trainer=st.sampled_from([trainer.__name__ for trainer in TRAINERS]),
    key=st.sampled_from(fuzz.config_keys()),
    value=VALUES,
)
def test_a_config_key_takes_a_value_or_refuses_it_in_one_line(trainer: str, key: str, value: str) -> None:
    try:
        planned = plan(["--trainer", trainer, "--dataset", "digits", "--shots", "1", key, value])
    except LammError as error:
        require_one_line(str(error))
    else:
        *path, name = key.split(".")
        accepted = functools.reduce(getattr, path, planned.cfg)[name]
        numbers = accepted if isinstance(accepted, (list, tuple)) else [accepted]
        assert all(math.isfinite(number) for number in numbers if isinstance(number, float))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return fuzz.World(folder, lambda words: called(words)[0])


def called(words: list[str]) -> tuple[int, str]:
    """Exit code and standard error of a command, in this process."""
    name, *others = words
    if name == "train":
        outcome = train(others)
        return outcome.code, outcome.err
    result = call_tool(name.replace("-", "_"), *others)
    return result.returncode, result.stderr


@settings(seeded, max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(world: Any, data: Any) -> None:
    readers = {file: commands for file, commands in world.readers().items() if file != "grid.yaml"}
    file = data.draw(st.sampled_from(sorted(readers)))
    words = data.draw(st.sampled_from(readers[file]))
    chance = random.Random(data.draw(st.integers(0, 10**6)))
    changed_world(world, file, lambda content: fuzz.damage(content, chance), words)


def changed_world(world: Any, file: str, change: Callable[[bytes], bytes], words: list[str]) -> None:
    """Run a command on a copy of the world in which one file is changed, and judge its end."""
    folder = world.folder.parent / "case"
    shutil.copytree(world.folder, folder)
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            code, said = called(words)
        case = fuzz.Case("file", words, f"damaged {file}")
        assert fuzz.judged(case, code, said, folder).failure == ""
    finally:
        shutil.rmtree(folder)
