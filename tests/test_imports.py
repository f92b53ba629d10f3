"""Imports point one way, and other rules of the code that can be read off the files."""

import ast
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from lamm.results.schema import RunResults

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    *sorted(path for top in ("lamm", "trainers", "tools") for path in (ROOT / top).rglob("*.py")),
    ROOT / "train.py",
]
MATHEMATICS = ("losses", "prompts", "prompt_layout")
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts[0] = "lamm_trainers" if parts[0] == "trainers" else parts[0]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_in(node: ast.AST, path: Path) -> set[str]:
    """Dotted names that an import statement may mean; relative ones resolved. Nothing for other statements."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    package = module_of(path).split(".") if path.name == "__init__.py" else module_of(path).split(".")[:-1]
    base = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*base, *([node.module] if node.module else [])])
    return {module} | {f"{module}.{alias.name}" for alias in node.names}


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    return set().union(*(names_in(node, path) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))))


def imported_at_once(path: Path, modules: Collection[str]) -> set[str]:
    """Modules that a file imports while it is imported itself: not those in functions or for type checkers."""
    found, todo = set(), list(ast.parse(path.read_text(encoding="utf-8")).body)
    while todo:
        node = todo.pop()
        names = names_in(node, path) & set(modules)
        # `from package import module` needs the module alone, not what the package's own file goes on to import.
        found |= {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
        if isinstance(node, ast.If | ast.Try) and "TYPE_CHECKING" not in ast.dump(getattr(node, "test", node)):
            todo += [*node.body, *node.orelse]
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


@pytest.mark.parametrize("module", MATHEMATICS)
def test_the_mathematics_knows_nothing_of_models_engine_or_data(module: str) -> None:
    packages = [f"lamm.{name}" for name in ("clip", "engine", "datasets", "results", "run")]
    assert breaking([ROOT / "lamm" / f"{module}.py"], *packages, "open_clip", "dassl") == {}


def test_the_arrows_point_from_commands_to_trainers_to_the_library() -> None:
    library = outside(outside(inside("lamm"), "lamm/commands"), "lamm/estimator")
    assert len(library) > 50
    assert breaking(library, "lamm_trainers", "trainers", "tools", "train") == {}
    # The parser that all commands share is the one thing that the library takes from there.
    taken = {name for path in library for name in imports_any(path, "lamm.commands")}
    assert {name for name in taken if not name.startswith("lamm.commands.parser")} <= {"lamm.commands"}
    assert breaking(inside("trainers"), "lamm.commands", "tools", "train") == {}


def test_no_import_goes_in_a_circle() -> None:
    files = {module_of(path): path for path in SOURCES}
    remaining = {module: imported_at_once(path, files) - {module} for module, path in files.items()}
    while free := [module for module, needs in remaining.items() if not needs & remaining.keys()]:
        for module in free:
            del remaining[module]
    assert remaining == {}


def test_only_the_engine_imports_dassl() -> None:
    assert breaking(outside(SOURCES, "lamm/engine"), "dassl") == {}


def test_only_the_clip_package_imports_open_clip() -> None:
    assert breaking(outside(SOURCES, "lamm/clip"), "open_clip") == {}


def test_nobody_imports_the_trainers_under_the_name_of_their_folder() -> None:
    assert breaking(outside(SOURCES, "trainers"), "trainers") == {}


# Where output is the purpose: a command's one-line errors, and the opening of a log in Dassl's form.
PRINTING = ("lamm/commands/", "lamm/run/execute.py")


def prints(path: Path) -> list[int]:
    """Lines on which a file calls `print`."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def test_the_library_prints_only_where_output_is_its_purpose() -> None:
    silent = [path for path in outside(inside("lamm"), "lamm/engine") if not name_of(path).startswith(PRINTING)]
    assert {name_of(path): prints(path) for path in silent if prints(path)} == {}


def test_trainers_print_only_the_engines_literal_lines() -> None:
    literal = ("Note that load_model() is skipped", "Loading weights to")
    for path in inside("trainers"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in prints(path):
            assert any(start in lines[line - 1] for start in literal), f"{name_of(path)}:{line}"


def test_no_file_is_a_drawer() -> None:
    assert [name_of(path) for path in SOURCES if path.stem in DRAWERS or path.parent.name in DRAWERS] == []


def test_commands_that_compute_nothing_start_without_torch(tmp_path):
    """In one process: the overview, parsers, the table of a run, a check of data without decoding, plans of sweeps."""
    data, run, weights = tmp_path / "data", tmp_path / "run", tmp_path / "RN50.pt"
    (data / "cat").mkdir(parents=True)
    (data / "cat" / "photo.jpg").touch()
    weights.touch()
    results = RunResults(
        **{"trainer": "LAMM", "dataset": "digits", "shots": 1, "seed": 1, "cfg": "tiny", "protocol": "few_shot"},
        **{"split": "test", "precision": "fp32", "config_hash": "0", "status": "finished"},
        metrics={"accuracy": 12.5, "error_rate": 87.5, "macro_f1": 10.0},
    )
    results.write(run / "results.json")
    program = f"""
import importlib, sys
from lamm_trainers.traits import TRAITS
from lamm.commands import COMMANDS, MODULES, overview
overview("--help")
modules = dict()
for name in COMMANDS:
    modules[name] = importlib.import_module("lamm.commands." + MODULES.get(name, name.replace("-", "_")))
    modules[name].parser().format_help()
plan = ["sweep", "--quick", "--dry-run", "--root", {str(data)!r}, "--output", {str(tmp_path)!r}]
one_each = ["--trainers", *TRAITS, "--datasets", "digits", "--shots", "1"]
for words in (
    ["check-data", "folder", "--quick", "--root", {str(data)!r}],
    ["parse-results", {str(run)!r}],
    ["get", "tiny"],
    ["backbones", "--json"],
    plan,
    [*plan, *one_each, "--", "MODEL.BACKBONE.NAME", "RN50", "MODEL.BACKBONE.PATH", {str(weights)!r}],
):
    modules[words[0]].main(modules[words[0]].parser().parse_args(words[1:]))
heavy = ("torch", "torchvision", "sklearn", "scipy", "open_clip", "matplotlib", "nicegui")
sys.exit(" ".join(name for name in heavy if name in sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == "\n", ended.stderr  # the names of the modules that should not be there
    assert "12.50" in ended.stdout
