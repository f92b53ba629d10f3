"""What the `config.yaml` in a run's folder says."""

from pathlib import Path
from typing import Any

import yaml

from lamm.errors import ResultsError

CONFIG_FILE = "config.yaml"
ALL_CLASSES = "all"
_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def stored_config(folder: Path) -> dict[str, Any]:
    """The stored config, empty where there is none.

    Raises:
        ResultsError: It is damaged.
    """
    file = folder / CONFIG_FILE
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_YAML)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ResultsError(f"{file} can't be read ({type(error).__name__}); run that seed again") from error
    return content if isinstance(content, dict) else {}


def class_subset(config: dict[str, Any]) -> str:
    """Which part of the classes a config asks for: `all`, `base` or `new`."""
    node = config.get("DATASET")
    return str(node.get("SUBSAMPLE_CLASSES", ALL_CLASSES)) if isinstance(node, dict) else ALL_CLASSES
