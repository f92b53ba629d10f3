"""Trainers and data sets that others wrote for Dassl, loaded from a file or by module name."""

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from lamm.engine import ENGINE
from lamm.engine.aliases import install_aliases
from lamm.errors import ConfigError, EngineError
from lamm.log import logger


def import_file_or_module(spec: str) -> ModuleType:
    """Import code that registers trainers or data sets with the engine; a second call gives the same module.

    While the embedded engine is in charge, `import dassl` inside that code finds it. A file's folder is put at the end
    of `sys.path`, so that it finds its neighbours.

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
        if spec.endswith(".py") or "/" in spec:
            return _import_file(spec)
        return _import_module(spec)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        raise ConfigError(f"--import {spec}: its import fails: {type(error).__name__}: {text}{place}") from error


def _import_file(spec: str) -> ModuleType:
    path = Path(spec).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"--import {spec}: there is no such file; give the path of a .py file or a module's name")
    for module in list(sys.modules.values()):  # it may be loaded already, under whatever name
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(path.name) and Path(file).resolve() == path:
            return module
    module_spec = importlib.util.spec_from_file_location(_module_name(path), path)
    if module_spec is None or module_spec.loader is None:
        raise ConfigError(f"--import {spec}: not a Python file; its name has to end in .py")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_spec.name]
        raise
    return module


def _module_name(path: Path) -> str:
    """The file's own name, by which its neighbours import it; with a hash where that name is taken."""
    try:
        spec = importlib.util.find_spec(path.stem)
    except (ImportError, ValueError):
        spec = None
    if path.stem.isidentifier() and (spec is None or (spec.origin and Path(spec.origin).resolve() == path)):
        return path.stem
    return f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def _import_module(spec: str) -> ModuleType:
    try:
        return importlib.import_module(spec)
    except ModuleNotFoundError as error:
        if error.name is not None and (spec == error.name or spec.startswith(f"{error.name}.")):
            raise ConfigError(
                f"--import {spec}: there is no such module; give the path of a .py file, "
                "or put the module's folder on PYTHONPATH"
            ) from error
        raise
