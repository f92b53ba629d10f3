"""Folders, listings and JSON files, as trainers and data sets written for Dassl use them."""

import json
import os
import warnings
from typing import Any

from lamm.files import write_text


def mkdir_if_missing(dirname: str | os.PathLike[str]) -> None:
    """Make a folder and its parents; an existing one is left alone."""
    os.makedirs(dirname, exist_ok=True)


def check_isfile(fpath: str | os.PathLike[str]) -> bool:
    """Whether a file exists; warns if not."""
    exists = os.path.isfile(fpath)
    if not exists:
        warnings.warn(f'No file found at "{fpath}"', stacklevel=2)
    return exists


def read_json(fpath: str | os.PathLike[str]) -> Any:
    """The content of a JSON file."""
    with open(fpath, encoding="utf-8") as file:
        return json.load(file)


def write_json(obj: Any, fpath: str | os.PathLike[str]) -> None:
    """Write an object as JSON, indented by four, through a temporary file; makes the folder."""
    write_text(fpath, json.dumps(obj, indent=4, separators=(",", ": ")))


def listdir_nohidden(path: str | os.PathLike[str], sort: bool = False) -> list[str]:
    """The names in a folder that don't begin with a dot."""
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    return sorted(names) if sort else names
