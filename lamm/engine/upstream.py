"""Upstream Dassl: found, imported, mended from outside where current libraries break it, and probed.

Nothing in the installed package is edited, and `torch.load` keeps its safe default.
"""

import importlib
import importlib.metadata
import importlib.util
import sys
from types import ModuleType

from lamm.engine import upstream_mending as mending
from lamm.engine.upstream_probe import probe

__all__ = ["ALIAS_MARK", "UpstreamFault", "is_alias", "is_installed", "prepare"]

ALIAS_MARK = "__answered_by_embedded_engine__"


class UpstreamFault(Exception):
    """Why the installed dassl can't be used; one line."""


def is_alias() -> bool:
    """Whether the module called `dassl` in this process is the embedded engine's alias."""
    return hasattr(sys.modules.get("dassl"), ALIAS_MARK)


def is_installed() -> bool:
    """Whether a package called `dassl` can be imported; a plain folder of that name does not count."""
    if is_alias():
        return _found_beside_aliases()
    if "dassl" in sys.modules:
        return True
    spec = importlib.util.find_spec("dassl")
    return spec is not None and spec.origin is not None


def _found_beside_aliases() -> bool:
    spec = importlib.machinery.PathFinder.find_spec("dassl")
    return spec is not None and spec.origin is not None


def prepare() -> str:
    """Import, mend and probe; the version.

    Raises:
        UpstreamFault: It can't run here. Modules that this call imported are taken out again.
    """
    before = set(sys.modules)
    try:
        mending.mend_before_import()
        importlib.import_module("dassl")
        _import_all()
        mending.mend_after_import()
        probe()
    except Exception as error:
        _forget(set(sys.modules) - before)
        text = " ".join(str(error).split())
        raise UpstreamFault(f"{type(error).__name__}: {text}") from error
    return _version(sys.modules["dassl"])


def _import_all() -> None:
    for name in ("dassl.utils", "dassl.config", "dassl.optim", "dassl.data", "dassl.evaluation", "dassl.engine"):
        importlib.import_module(name)


def _forget(names: set[str]) -> None:
    for name in names:
        if name == "dassl" or name.startswith("dassl."):
            del sys.modules[name]


def _version(module: ModuleType) -> str:
    version = getattr(module, "__version__", None)
    if version is None:
        try:
            version = importlib.metadata.version("dassl")
        except importlib.metadata.PackageNotFoundError:
            version = "of unknown version"
    return str(version)
