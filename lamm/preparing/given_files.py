"""The files that a user gives for a data set: archives, and single files such as the published split."""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from lamm.datasets.sources import SOURCES, Part, PublishedFile, Source
from lamm.errors import DataError
from lamm.files import sha256_of_file
from lamm.log import logger
from lamm.preparing.archives import entries, is_archive
from lamm.preparing.download import has_md5
from lamm.preparing.parts import is_surely_of, known_names, place_of

PEEKED_ENTRIES = 500
"""How many entries of an archive with an unknown name are looked at, in a folder of archives."""

LARGE_BYTES = 10**9


def files_for(source: Source, given: Iterable[Path]) -> list[Path]:
    """The files to take, the smallest first: what is named, and what belongs to the data set in the folders named.

    Raises:
        DataError: a file is missing, or a folder holds nothing of the data set.
    """
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            here = [file for file in sorted(path.iterdir()) if file.is_file() and _belongs(file, source)]
            if not here:
                names = ", ".join(file.name for file in source.files)
                raise DataError(f"{path} holds no file of {source.title}; it is published as {names}")
            files += here
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"no file at {path}; --from takes archives, or a folder with them")
    return sorted(dict.fromkeys(files), key=lambda file: file.stat().st_size)


def single_part(file: Path, source: Source) -> Part:
    """Which part a file that is not an archive is: by its name, or by its content where that is known.

    Raises:
        DataError: it is none of the data set's.
    """
    part = _part_by_name(file, source) or _part_by_content(file, source)
    if part is not None:
        return part
    start = file.read_bytes()[:200].lstrip() if file.stat().st_size < 10**7 else b""
    if start.startswith(b"<"):
        raise DataError(f"{file} is a web page, so the download led to a page instead of the file; fetch it again")
    other = next((other for other in SOURCES.values() if _part_by_content(file, other)), None)
    names = ", ".join(part.target for part in source.parts if not part.is_folder)
    hint = f"; it is of {other.title}: python tools/prepare_data.py {other.name}" if other else f" ({names})"
    raise DataError(f"{file} is neither an archive nor a file of {source.title}{hint}")


def published_as(file: Path, source: Source) -> PublishedFile | None:
    """The published file of the same name."""
    return next((published for published in source.files if published.name == _plain(file.name)), None)


def check_md5(file: Path, source: Source) -> None:
    """Compare a file with the MD5 sum of the published file of the same name, where that is known.

    Raises:
        DataError: they differ.
    """
    published = published_as(file, source)
    if published is None or not published.md5:
        return
    if file.stat().st_size > LARGE_BYTES:
        logger.info(f"{file.name}: comparing its MD5 sum with the published one, {file.stat().st_size:,} bytes")
    if not has_md5(file, published.md5):
        raise DataError(
            f"{file} is not the published file (its MD5 sum is not {published.md5}): it is damaged, cut off, or was "
            "packed anew; fetch it again, or add --any-md5 if you trust it"
        )


def whose_archive(archive: Path) -> Source | None:
    """The data set that an archive seems to be of, by the entries it begins with."""
    seen = [entry.path for entry in itertools.islice(entries(archive), PEEKED_ENTRIES)]
    return next((source for source in SOURCES.values() if any(is_surely_of(path, source) for path in seen)), None)


def _belongs(file: Path, source: Source) -> bool:
    """Whether a file in a folder is of the data set; archives of unknown names are looked into."""
    if _plain(file.name) in known_names(source) or _part_by_name(file, source):
        return True
    others = (other for other in SOURCES.values() if other.name != source.name)
    if not is_archive(file) or any(_plain(file.name) in known_names(other) for other in others):
        return False
    try:
        seen = [entry.path for entry in itertools.islice(entries(file), PEEKED_ENTRIES)]
    except DataError:
        return False
    if any(is_surely_of(path, source) for path in seen):
        return True
    if any(place_of(path, source.parts) for path in seen):
        logger.info(f"{file.name} may hold files of {source.title}: to take it, name it after --from")
    return False


def _part_by_name(file: Path, source: Source) -> Part | None:
    name = _plain(file.name)
    files = [part for part in source.parts if not part.is_folder]
    return next((part for part in files if name in [inner.split("/")[-1] for inner in part.names_in_archives]), None)


def _part_by_content(file: Path, source: Source) -> Part | None:
    candidates = [part for part in source.parts if part.sha256 and part.size == file.stat().st_size]
    return next((part for part in candidates if sha256_of_file(file) == part.sha256), None)


def _plain(name: str) -> str:
    """Without the ` (1)` that browsers put into the name of a second download."""
    return re.sub(r" ?\(\d+\)(?=\.|$)", "", name)
