"""What lies in the image folders, compared with what the split names."""

import os
import posixpath
from collections import Counter
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path

from lamm.checking.findings import Finding, listed
from lamm.datasets.image_files import missing_images
from lamm.datasets.listing import LEFT_BEHIND, is_image_name


def missing_findings(image_folder: Path, paths: Collection[str]) -> tuple[list[Finding], set[str]]:
    """Faults about images and whole class folders that are not there.

    Args:
        image_folder: what the paths are relative to.
        paths: that the split names.

    Returns:
        The findings, and the missing paths.
    """
    missing = missing_images(image_folder, paths)
    folders = Counter(map(posixpath.dirname, missing))
    absent = {folder: count for folder, count in folders.items() if folder and not (image_folder / folder).is_dir()}
    shown = [f"{folder} ({count:,} images)" for folder, count in sorted(absent.items())]
    single = sorted(path for path in missing if posixpath.dirname(path) not in absent)
    findings = [
        *listed("image folders missing", shown),
        *listed("images missing", single),
    ]
    return findings, set(missing)


def extra_findings(
    folder: Path, tops: Collection[str], known: Collection[str], unused: Collection[str]
) -> list[Finding]:
    """Notes about files that no split names, and folders without any file that one does.

    Args:
        folder: the data set's folder.
        tops: the image folders in it.
        known: the files that are named, relative to `folder`.
        unused: patterns of files that come with the data set and are named by none.
    """
    wanted = set(known)
    images, others = [], []
    for path in files_below(folder, tops):
        if path not in wanted:
            if is_image_name(posixpath.basename(path)):
                images += [] if any(fnmatch(path, pattern) for pattern in unused) else [path]
            else:
                others += [] if any(fnmatch(path, pattern) for pattern in unused) else [path]
    return [
        *listed("images that the split does not name, so nothing uses them", sorted(images), is_fault=False),
        *listed("files among the images that are none", sorted(others), is_fault=False),
    ]


def files_below(folder: Path, tops: Collection[str]) -> Iterator[str]:
    """Every file below some folders of `folder`, as POSIX path relative to it; hidden ones left out."""
    for top in tops:
        for where, folders, names in os.walk(folder / top):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_BEHIND)
            start = Path(where).relative_to(folder).as_posix()
            yield from (posixpath.join(start, name) for name in sorted(names) if not name.startswith("."))
