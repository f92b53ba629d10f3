"""Files that appear in a folder together, and only when all of them are made."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lamm.errors import ConfigError


@contextmanager
def files_made_together(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a new folder to make files in; what the block leaves there moves to `folder` if it succeeds.

    Args:
        folder: made if missing.
        names: that may appear; those in `folder` from before which the block did not make are removed, since they
            would belong to something else.

    Raises:
        ConfigError: `folder` is a file.
        OSError: it can't be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: give a folder to write to")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".export.", suffix=".tmp", dir=folder) as made:
            yield Path(made)
            _move(Path(made), folder, names)
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing came of it, and nothing was there


def _move(made: Path, folder: Path, names: Sequence[str]) -> None:
    umask = os.umask(0)
    os.umask(umask)
    for name in names:
        file = made / name
        if file.exists():
            file.chmod(0o666 & ~umask)
            os.replace(file, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
