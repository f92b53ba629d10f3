"""Reading a split file as far as it can be read: every broken entry is a finding, and the others are kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lamm.checking.findings import Finding, listed
from lamm.datasets.published_files import Part
from lamm.datasets.splits import PARTS, Split, SplitItem, checked_item
from lamm.errors import DataError
from lamm.files import sha256_of_file


def read_as_far_as_possible(file: Path) -> tuple[Split | None, list[Finding]]:
    """The readable entries of a split file, and what is wrong with the others.

    Returns:
        The split, None where nothing can be read; and the findings.
    """
    try:
        content: Any = json.loads(file.read_bytes())
    except OSError as error:
        return None, [Finding(f"{file.name} can't be read: {error.strerror}")]
    except (ValueError, RecursionError) as error:
        return None, [Finding(f"{file.name} is not valid JSON ({error}): fetch it again")]
    if not isinstance(content, dict):
        return None, [Finding(f"{file.name} holds no JSON object with the keys {', '.join(PARTS)}: fetch it again")]
    parts: dict[str, list[SplitItem]] = {part: [] for part in PARTS}
    findings: list[Finding] = []
    broken: list[str] = []
    for part in PARTS:
        entries = content.get(part)
        if not isinstance(entries, list):
            findings.append(Finding(f'{file.name} has no list "{part}"'))
            continue
        for position, entry in enumerate(entries):
            try:
                parts[part].append(checked_item(entry, f"{part}[{position}]"))
            except DataError as error:
                broken.append(str(error))
    return Split(**parts), findings + list(listed(f"{file.name}: broken entries", broken))


def differs_from_published(file: Path, published: Part) -> Iterator[Finding]:
    """A fault where the file is not the published one, as far as that is known."""
    size = file.stat().st_size
    if not published.sha256 or (size == published.size and sha256_of_file(file) == published.sha256):
        return
    yield Finding(
        f"{file.name} is not the published file ({size:,} bytes instead of {published.size:,}, or other content): "
        "results with it can't be compared with papers; fetch it again"
    )
