"""A run that a mistake has stopped before it began leaves no folder behind."""

from contextlib import suppress
from pathlib import Path

LOG_FILE = "log.txt"


def remove_mere_log(folder: Path, runs: Path = Path("output")) -> None:
    """Remove a run's folder that holds a log and nothing else, and the folders above it that are empty then.

    What the log says beside the settings is the mistake, which stands on the screen.

    Args:
        folder: the run's.
        runs: the folder of all runs; only what is below it is removed with `folder`.
    """
    with suppress(OSError):  # not empty, or not ours to remove
        if [entry.name for entry in folder.iterdir()] != [LOG_FILE]:
            return
        (folder / LOG_FILE).unlink()
        folder.rmdir()
        for above in folder.parents:
            if runs not in above.parents:
                return
            above.rmdir()
