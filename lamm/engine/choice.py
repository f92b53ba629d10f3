"""Which engine runs: upstream Dassl, or the embedded one.

`LAMM_ENGINE=auto|dassl|embedded`. `auto` takes upstream when it is installed and passes its probe after mending, and
otherwise the embedded engine. A program that has already imported dassl keeps it.
"""

import os
import sys
from dataclasses import dataclass

import lamm
from lamm.errors import EngineError

VARIABLE = "LAMM_ENGINE"
ALIAS_MARK = "__answered_by_embedded_engine__"


@dataclass(frozen=True)
class EngineChoice:
    """The engine in charge of this process.

    Attributes:
        name: `dassl` or `embedded`.
        version: Of that engine.
        reason: Why this one.
    """

    name: str
    version: str
    reason: str

    def line(self) -> str:
        """One line for the log."""
        return f"Engine: {self.name} {self.version} ({self.reason})"


def requested_engine() -> str:
    """The value of LAMM_ENGINE; `auto` if it is unset or empty.

    Raises:
        EngineError: Another value than auto, dassl, embedded.
    """
    value = os.environ.get(VARIABLE) or "auto"
    if value not in ("auto", "dassl", "embedded"):
        raise EngineError(f'{VARIABLE} is "{value}", but must be one of auto, dassl, embedded')
    return value


def is_alias() -> bool:
    """Whether the module called `dassl` in this process is the embedded engine's alias."""
    return hasattr(sys.modules.get("dassl"), ALIAS_MARK)


def is_installed() -> bool:
    """Whether a package called `dassl` can be imported; a plain folder of that name does not count."""
    if "dassl" in sys.modules and not is_alias():
        return True
    # Not importlib.util.find_spec, which would find the alias. Editable installs have finders of their own.
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        spec = find_spec("dassl", None) if find_spec is not None else None
        if spec is not None:
            return spec.origin is not None
    return False


def choose_engine() -> EngineChoice:
    """Decide for this process; upstream is imported and mended if it is chosen.

    Raises:
        EngineError: A wrong LAMM_ENGINE, or `dassl` where that can't run, asked for or imported already.
    """
    requested = requested_engine()
    imported = "dassl" in sys.modules and not is_alias()
    if requested == "embedded":
        if imported:
            raise EngineError(
                f"{VARIABLE}=embedded, but this program has imported dassl already: unset {VARIABLE}, "
                "or have the embedded engine run it, with lamm train --import FILE"
            )
        return _embedded(f"{VARIABLE}=embedded")
    if not imported and not is_installed():
        if requested == "dassl":
            raise EngineError(
                f"{VARIABLE}=dassl, but dassl is not installed; put a checkout of Dassl.pytorch on PYTHONPATH, "
                f"or use {VARIABLE}=embedded"
            )
        return _embedded("dassl is not installed")
    # Imported here: it takes torch, which a process without Dassl may never need.
    from lamm.engine import upstream

    try:
        version = upstream.prepare()
    except upstream.UpstreamFault as fault:
        if requested == "dassl":
            raise EngineError(
                f"{VARIABLE}=dassl, but the installed dassl can't run: {fault}; use {VARIABLE}=embedded"
            ) from fault
        if imported:
            raise EngineError(
                f"this program has imported dassl, but that can't run: {fault}; mend it, or have the embedded engine "
                f"run this program, with {VARIABLE}=embedded lamm train --import FILE"
            ) from fault
        return _embedded(f"the installed dassl can't run: {fault}")
    if requested == "dassl":
        return EngineChoice("dassl", version, f"{VARIABLE}=dassl")
    return EngineChoice("dassl", version, "already imported" if imported else "installed, and it passed the probe")


def _embedded(reason: str) -> EngineChoice:
    return EngineChoice("embedded", lamm.__version__, reason)
