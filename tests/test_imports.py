"""Imports point one way, and other rules of the code that can be read off the files."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    *sorted(
        path
        for top in ("lamm", "trainers", "tools")
        for path in (ROOT / top).rglob("*.py")
        if "__pycache__" not in path.parts
    ),
    ROOT / "train.py",
]
# Parts of `lamm` that stand on nothing but its smallest modules.
PURE = ("losses", "prompts", "prompt_layout", "label_bank", "scores")
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, anywhere in it; relative ones resolved."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(parts[: len(parts) - node.level]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def imports_any(path: Path, *packages: str) -> list[str]:
    return [
        name
        for name in imported(path)
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    ]


def breaking(paths: list[Path], *packages: str) -> dict[str, list[str]]:
    """Files that import one of the packages, and what they import of it."""
    return {name_of(path): found for path in paths if (found := imports_any(path, *packages))}


def inside(*folders: str) -> list[Path]:
    return [path for path in SOURCES if any(path.is_relative_to(ROOT / folder) for folder in folders)]


def outside(paths: list[Path], folder: str) -> list[Path]:
    return [path for path in paths if not path.is_relative_to(ROOT / folder)]


def test_there_are_files_to_look_at() -> None:
    assert len(inside("lamm")) > 50
    assert len(inside("trainers")) > 5


@pytest.mark.parametrize("module", PURE)
def test_the_pure_modules_know_nothing_of_models_engine_or_data(module: str) -> None:
    packages = [f"lamm.{name}" for name in ("clip", "engine", "datasets", "results", "run")]
    assert breaking([ROOT / "lamm" / f"{module}.py"], *packages, "open_clip", "dassl") == {}


def test_the_library_knows_no_trainer() -> None:
    assert breaking(inside("lamm"), "lamm_trainers", "trainers", "tools", "train") == {}


def test_trainers_import_no_tool() -> None:
    assert breaking(inside("trainers"), "tools", "train") == {}


def test_only_the_engine_imports_dassl() -> None:
    assert breaking(outside(SOURCES, "lamm/engine"), "dassl") == {}


def test_only_the_clip_package_imports_open_clip() -> None:
    assert breaking(outside(SOURCES, "lamm/clip"), "open_clip") == {}


def test_nobody_imports_the_trainers_under_the_name_of_their_folder() -> None:
    assert breaking(outside(SOURCES, "trainers"), "trainers") == {}


# Where output is the purpose: a command's one-line errors, and the opening of a log in Dassl's form.
PRINTING = ("lamm/commands/parser.py", "lamm/run/execute.py")


def prints(path: Path) -> list[int]:
    """Lines on which a file calls `print`."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def test_the_library_prints_only_where_output_is_its_purpose() -> None:
    silent = [path for path in outside(inside("lamm"), "lamm/engine") if name_of(path) not in PRINTING]
    assert {name_of(path): prints(path) for path in silent if prints(path)} == {}


def test_trainers_print_only_the_engines_literal_lines() -> None:
    literal = ("Note that load_model() is skipped", "Loading weights to")
    for path in inside("trainers"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in prints(path):
            assert any(start in lines[line - 1] for start in literal), f"{name_of(path)}:{line}"


def test_no_file_is_a_drawer() -> None:
    assert [name_of(path) for path in SOURCES if path.stem in DRAWERS or path.parent.name in DRAWERS] == []
