"""Checking image files: missing ones, ones that nothing uses, and decoding each, which shows those that are cut off.

Nothing heavy is imported here, since each process imports this file anew.
"""

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from fnmatch import fnmatch
from multiprocessing import get_context
from pathlib import Path

from PIL import ImageFile, UnidentifiedImageError
from tqdm import tqdm

from lamm.checking.findings import Finding, listed
from lamm.datasets.listing import LEFT_BEHIND, missing_images
from lamm.images import NOTICES, as_rgb, is_image_name, opened, unreadable_line

EMPTY, FOREIGN, DAMAGED = "empty", "foreign", "damaged"
IMAGES_PER_TASK = 64
FEWEST_FOR_PROCESSES = 1000


def problem_of(path: str) -> tuple[str, str] | None:
    """What is wrong with an image: its kind (empty, foreign, damaged, or the system's reason), and the details.

    A kind of `NOTICES` is not a fault: it says what becomes of pixels that are not 8 bits of red, green and blue.
    A JPEG is decoded at an eighth of its size: every byte of it is read and decoded all the same, and only the last
    step, which makes pixels, is smaller.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        if os.path.getsize(path) == 0:
            return EMPTY, ""
        with opened(path) as image:
            image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
            notices: list[str] = []
            as_rgb(image, say=notices.append)
    except UnidentifiedImageError:
        return unreadable_line([path]).partition(": ")[2] or FOREIGN, ""
    except OSError as error:
        return (error.strerror.lower(), "") if error.errno and error.strerror else (DAMAGED, str(error))
    except Exception as error:  # Pillow's readers let through whatever a broken file makes them trip over
        return DAMAGED, str(error) or type(error).__name__
    return (notices[0], "") if notices else None


def undecodable(paths: Sequence[str], description: str, workers: int) -> Iterator[tuple[str, str, str]]:
    """The images that can't be decoded, as (path, kind, details), in any order; a progress bar shows how far it is.

    Args:
        paths: of files.
        description: in front of the bar.
        workers: processes.
    """
    parts = [paths[start : start + IMAGES_PER_TASK] for start in range(0, len(paths), IMAGES_PER_TASK)]
    with tqdm(total=len(paths), desc=description, unit="img", disable=None) as bar:
        if workers < 2 or len(paths) < FEWEST_FOR_PROCESSES:
            for part in parts:
                yield from _problems(part)
                bar.update(len(part))
            return
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        try:
            sizes = {pool.submit(_problems, part): len(part) for part in parts}
            for task in as_completed(sizes):
                yield from task.result()
                bar.update(sizes[task])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _problems(paths: Sequence[str]) -> list[tuple[str, str, str]]:
    problems = ((path, problem_of(path)) for path in paths)
    return [(path, *problem) for path, problem in problems if problem is not None]


DESCRIPTIONS = {
    EMPTY: "images that are empty files",
    FOREIGN: "files that are called images and are not",
    DAMAGED: "images damaged or cut off",
}


def unreadable_findings(paths: Iterable[str], base: Path, description: str, workers: int) -> Iterator[Finding]:
    """Decode images; a finding for each kind of problem.

    Args:
        paths: of files.
        base: what they are shown relative to.
        description: in front of the progress bar.
        workers: processes; 0 is one per core.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, kind, details in undecodable(list(paths), description, workers or os.cpu_count() or 1):
        shown = os.path.relpath(path, base)
        kinds[kind].append(f"{shown} ({details})" if details else shown)
    for kind, shown_paths in sorted(kinds.items()):
        what = NOTICES.get(kind) or DESCRIPTIONS.get(kind, f"images that can't be read, {kind}")
        yield from listed(what, sorted(shown_paths), is_fault=kind not in NOTICES)


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
    return [*listed("image folders missing", shown), *listed("images missing", single)], set(missing)


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
    images: list[str] = []
    others: list[str] = []
    for path in files_below(folder, tops):
        if path not in wanted and not any(fnmatch(path, pattern) for pattern in unused):
            (images if is_image_name(posixpath.basename(path)) else others).append(path)
    return [
        *listed("images that the split does not name, so nothing uses them", sorted(images), is_fault=False),
        *listed("files among the images that are not images", sorted(others), is_fault=False),
    ]


def files_below(folder: Path, tops: Collection[str]) -> Iterator[str]:
    """Every file below some folders of `folder`, as POSIX path relative to it; hidden ones left out."""
    for top in tops:
        for where, folders, names in os.walk(folder / top):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_BEHIND)
            start = Path(where).relative_to(folder).as_posix()
            yield from (posixpath.join(start, name) for name in sorted(names) if not name.startswith("."))
