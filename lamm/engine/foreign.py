"""Trainers and data sets that others wrote for Dassl, loaded from a file or by module name."""

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import textwrap
import traceback
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import lamm
from lamm.engine import ENGINE
from lamm.engine.aliases import install_aliases
from lamm.errors import ConfigError, EngineError
from lamm.log import logger

OWN = Path(lamm.__file__).resolve().parents[1]
NOT_THEIRS = ("<", str(OWN / "lamm"), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
LONGEST_REASON = 300


def import_file_or_module(spec: str) -> ModuleType:
    """Import code that registers trainers or data sets with the engine; a second call gives the same module.

    While the embedded engine is in charge, `import dassl` inside that code finds it. The folder that the code is
    imported from stands first on `sys.path`, as it does when Python runs a file there: for a file of a package, the
    folder that holds the package; for a module, the working directory. Packages of a checkout called `trainers`,
    `datasets` or `clip` are then found before others of that name, ours too.

    Args:
        spec: The path of a `.py` file, or a module's dotted name.

    Raises:
        ConfigError: Nothing of that name, or its import fails.
    """
    if ENGINE.name == "embedded":
        try:
            install_aliases()
        except EngineError as error:
            logger.warning("%s", error)
    try:
        return _import_file(spec) if spec.endswith(".py") or "/" in spec else _import_module(spec)
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:
        refuse(f"--import {spec}: its import fails", error)


def refuse(what: str, error: BaseException) -> NoReturn:
    """Turn an error in others' code into one line that names the last place there, neither ours nor a library's.

    Raises:
        ConfigError: Always.
    """
    text = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    theirs = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(NOT_THEIRS)]
    place = f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""
    if isinstance(error, AssertionError) and not text and theirs:
        text = theirs[-1].line or ""
    text = textwrap.shorten(text, LONGEST_REASON, placeholder=" …")
    raise ConfigError(f"{what}: {type(error).__name__}: {text}{place}") from error


def _import_file(spec: str) -> ModuleType:
    path = Path(os.path.expanduser(spec)).resolve()
    if not path.is_file():
        raise ConfigError(f"--import {spec}: there is no such file; give the path of a .py file or a module's name")
    for module in list(sys.modules.values()):  # it may be loaded already, under whatever name
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(path.name) and Path(file).resolve() == path:
            return module
    root, name = _package_of(path)
    if root == OWN and name.partition(".")[0] == "trainers":
        return importlib.import_module(f"lamm_{name}")
    _search_first(root)
    if _finds(name) == path:
        return importlib.import_module(name)
    top = name.partition(".")[0]
    if top != name:
        other = getattr(sys.modules.get(top), "__path__", ["?"])[0]
        raise ConfigError(f"--import {spec}: it belongs to a package {top}, but that is loaded from {other} already")
    # Another module has that name.
    module_spec = importlib.util.spec_from_file_location(
        f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}", path
    )
    if module_spec is None or module_spec.loader is None:
        raise ConfigError(f"--import {spec}: not a Python file; its name has to end in .py")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_spec.name]
        raise
    return module


def _package_of(path: Path) -> tuple[Path, str]:
    """The folder that a file is imported from, and its dotted name there.

    Its packages are the folders with an `__init__.py`, and those that its relative imports need.
    """
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):  # its import says it better
        nodes = []
    levels = max((node.level for node in nodes if isinstance(node, ast.ImportFrom)), default=0)
    folder, name = path.parent, path.stem
    while folder.name.isidentifier() and (levels > 0 or (folder / "__init__.py").is_file()):
        folder, name, levels = folder.parent, f"{folder.name}.{name}", levels - 1
    return folder, name.removesuffix(".__init__")


def _finds(name: str) -> Path | None:
    """The file that an import of that name would run; a parent package is imported."""
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # loaded, but without a spec, as `__main__` is
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.origin is not None else None


def _import_module(spec: str) -> ModuleType:
    here = Path.cwd()
    _search_first(None if here == OWN else here)
    advice = "give the path of a .py file, or put the module's folder on PYTHONPATH"
    absent = ConfigError(f"--import {spec}: there is no such module; {advice}")
    top, dot, rest = spec.partition(".")
    if not all(part.isidentifier() for part in spec.split(".")):
        raise absent
    if top == "trainers" and importlib.util.find_spec(top) is None:
        spec = f"lamm_trainers{dot}{rest}"  # ours; loaded under both names they would be two sets of classes
    try:
        module = importlib.import_module(spec)
    except ModuleNotFoundError as error:
        if error.name is not None and (spec == error.name or spec.startswith(f"{error.name}.")):
            raise absent from error
        raise
    if module.__spec__ is not None and module.__spec__.origin is None:
        raise ConfigError(f"--import {spec}: that is a folder without __init__.py; give a .py file in it")
    return module


def _search_first(folder: Path | None) -> None:
    """Put a folder first on `sys.path`, and take our checkout out: its `trainers` must not hide others of that name.

    Ours are installed as `lamm_trainers`.
    """
    away = (folder, OWN) if (OWN / "trainers" / "__init__.py").is_file() else (folder,)
    others = [entry for entry in sys.path if Path(entry or ".").resolve() not in away]
    sys.path[:] = [*([] if folder is None else [str(folder)]), *others]
