"""Images that can't be decoded, as findings by kind."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from lamm.checking.decoding import DAMAGED, EMPTY, FOREIGN, undecodable
from lamm.checking.findings import Finding, listed

_WORDS = {
    EMPTY: "images that are empty files",
    FOREIGN: "files that are called images and are none",
    DAMAGED: "images damaged or cut off",
}


def unreadable_findings(paths: Iterable[str], base: Path, description: str, workers: int) -> Iterator[Finding]:
    """Decode images; a finding for each kind of problem.

    Args:
        paths: of files.
        base: what they are shown relative to.
        description: in front of the progress bar.
        workers: processes; 0 is one for each core.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, kind, details in undecodable(list(paths), description, workers or os.cpu_count() or 1):
        shown = os.path.relpath(path, base)
        kinds[kind].append(f"{shown} ({details})" if details else shown)
    for kind, shown_paths in sorted(kinds.items()):
        yield from listed(_WORDS.get(kind, f"images that can't be read, {kind}"), sorted(shown_paths))
