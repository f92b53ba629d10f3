"""Laying out a data set: what is missing in its folder, from given archives or from the network.

Archives are unpacked into a work folder. From there a part moves to its place: in one rename if nothing is there, else
only the files that are missing. Nothing that is there is replaced or removed.
"""

import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from lamm.datasets.sources import CLASS_NAMES, VAL, Need, Part, Source
from lamm.errors import DataError
from lamm.log import logger
from lamm.preparing.archives import Unpacker, is_archive
from lamm.preparing.download import DownloadError, fetch
from lamm.preparing.imagenet import is_flat, read_classes_of_val, sort_into_classes, write_class_names
from lamm.preparing.parts import (
    check_md5,
    files_for,
    placed_entries,
    published_as,
    single_part,
    source_of_archive,
)
from lamm.preparing.survey import Survey, count_images, shortcoming

WORK_FOLDER = ".lamm_preparing"
UNPACKED, DOWNLOADS, LOCK = "unpacked", "downloads", "lock"
# What says the classes of images comes before the images.
ORDER = (Need.SORTING, Need.EXTRA, Need.REQUIRED, Need.SPLIT, Need.LISTS)


class Preparation:
    """Lays out one data set under a data root.

    Args:
        source: the data set.
        root: the data root; made where it does not exist.
        any_md5: take given archives whose MD5 sum is not the published one.
        unverified: fetch files over http of which no MD5 sum is known.
    """

    def __init__(self, source: Source, root: Path, any_md5: bool = False, unverified: bool = False) -> None:
        self.source, self.any_md5, self.unverified = source, any_md5, unverified
        self.survey = Survey(source, root)
        self.folder = self.survey.folder

    def run(self, given: Sequence[Path] = (), download: bool = False) -> list[str]:
        """Lay out what is missing, from the files given and then, if asked for, from the network.

        Args:
            given: archives and single files, or folders with them.
            download: whether to fetch what is still missing.

        Returns:
            What could not be fetched, one line each.

        Raises:
            DataError: a given file is missing, damaged, dangerous or of something else, or what is there differs from
                it. What was laid out before stays; of this file nothing is left.
        """
        files = files_for(self.source, given)
        failures: list[str] = []
        if files or download or self._val_is_flat():
            with work_folder(self.folder) as work:
                self.survey.look_again()  # another run may have just ended
                for file in files:
                    self._take(file, work / UNPACKED)
                if download:
                    failures = self._fetch_missing(work)
                failures += self._sort_val_that_is_there()
                if not self.survey.needed():
                    shutil.rmtree(work / DOWNLOADS)
        if any(part.target == CLASS_NAMES for part in self.source.parts) and write_class_names(self.folder):
            self.survey.look_again(CLASS_NAMES)
        return failures

    def _take(self, file: Path, unpacked: Path) -> None:
        """Lay out what a given file holds and the folder lacks."""
        known = published_as(file, self.source)
        if known and not any(self.survey.lack(self.source.part(target)) for target in known.gives):
            logger.info(f"{file.name}: not needed, all that it holds is there")
        elif is_archive(file):
            if not self.any_md5:
                check_md5(file, self.source)
            for part in self._unpack(file, unpacked):
                self._lay_out(part, unpacked / part.target, file.name)
        else:
            part = single_part(file, self.source)
            if self.survey.lack(part):
                (unpacked / part.target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, unpacked / part.target)
                self._lay_out(part, unpacked / part.target, file.name)
            else:
                logger.info(f"{file.name}: not needed, {part.target} is there")

    def _unpack(self, archive: Path, unpacked: Path) -> list[Part]:
        """Write what the archive holds of parts that are not whole; returns these parts."""
        unpacker, size = Unpacker(archive, unpacked), archive.stat().st_size
        seen: set[Part] = set()
        with tqdm(total=size, desc=archive.name, unit="B", unit_scale=True, disable=None) as bar:
            for place, entry in placed_entries(archive, self.source, lambda passed: bar.update(passed - bar.n)):
                seen.add(place.part)
                if self.survey.lack(place.part):
                    unpacker.write(entry, place.path)
        if not seen:
            other = source_of_archive(archive)
            hint = f"; it is of {other.title}: lamm prepare-data {other.name}" if other else ""
            folders = ", ".join(f"{part.target}/" for part in self.source.parts if part.is_folder)
            raise DataError(f"{archive} holds nothing of {self.source.title} ({folders}){hint}")
        written = [part for part in seen if self.survey.lack(part)]
        if not written:
            logger.info(f"{archive.name}: not needed, all that it holds is there")
        return sorted(written, key=lambda part: ORDER.index(part.need))

    def _lay_out(self, part: Part, unpacked: Path, file: str) -> None:
        place = self.survey.place(part)
        if part.target == VAL and is_flat(unpacked):
            sort_into_classes(unpacked, read_classes_of_val(self.folder))
            self._sort_val_that_is_there()
        lack = "" if part.need is Need.EXTRA else shortcoming(part, unpacked)
        if lack:
            raise DataError(
                f"{file}: {part.target} in it {lack}; it is another edition or incomplete, and was not laid out"
            )
        if part.need is Need.EXTRA and place.exists():
            return
        joined = lay_out(unpacked, place)
        self.survey.look_again(part.target)
        what = f", {count_images(place)[0]:,} images" if part.images else ""
        logger.info(
            f"{part.target}: " + (f"{joined:,} files that were missing joined" if joined >= 0 else f"laid out{what}")
        )

    def _val_is_flat(self) -> bool:
        return any(part.target == VAL for part in self.source.parts) and is_flat(self.folder / VAL)

    def _sort_val_that_is_there(self) -> list[str]:
        """Sort ImageNet's validation images that were unpacked without class folders; returns why it can't be done."""
        if not self._val_is_flat():
            return []
        try:
            moved = sort_into_classes(self.folder / VAL, read_classes_of_val(self.folder))
        except DataError as error:
            return [str(error)]
        self.survey.look_again(VAL)
        logger.info(f"{VAL}: {moved:,} images that lay there were moved into folders of their classes")
        return []

    def _fetch_missing(self, work: Path) -> list[str]:
        """Fetch and lay out what is needed, as far as it can be had; gives what can't, one line each."""
        failures = []
        for file in self.source.files:
            if not any(self.survey.is_needed(self.source.part(target)) for target in file.gives):
                continue
            try:
                fetched = fetch(file, work / DOWNLOADS, self.unverified)
            except DownloadError as error:
                failures.append(f"{file.name}: {error}")
                continue
            try:
                self._take(fetched, work / UNPACKED)
            except DataError as error:
                failures.append(f"{file.name}: {error}")
                if file.md5:  # it is the published file, so it need not be fetched again
                    continue
            fetched.unlink()
        return failures


def lay_out(unpacked: Path, target: Path) -> int:
    """Move a folder or file to `target`, on the same file system. Nothing that is there is replaced or removed.

    Args:
        unpacked: what to move.
        target: its place; where a folder is there already, it gets the files that it lacks.

    Returns:
        The number of files that joined a folder that was there; -1 where the whole was moved.

    Raises:
        DataError: a file that is there differs from the one to be put there; nothing was changed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(target):
        _move(unpacked, target)
        return -1
    missing, differing = _compare(unpacked, target)
    if differing:
        others = f" and {len(differing) - 1:,} more" if len(differing) > 1 else ""
        raise DataError(
            f"{differing[0]} is there and differs from what was given{others}; nothing was changed: remove or rename "
            "what should be replaced, and run this again"
        )
    for path in missing:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        _move(unpacked / path, target / path)
    return len(missing)


def _compare(unpacked: Path, target: Path) -> tuple[list[Path], list[Path]]:
    """Relative paths of the files that `target` lacks, and its files (whole paths) that differ."""
    if unpacked.is_file():
        return [], [] if target.is_file() and filecmp.cmp(unpacked, target, shallow=False) else [target]
    if not target.is_dir():
        return [], [target]
    missing, differing = [], []
    for where, _, names in os.walk(unpacked):
        for name in sorted(names):
            path = (Path(where) / name).relative_to(unpacked)
            there = target / path
            if there.is_file():
                differing += [] if filecmp.cmp(unpacked / path, there, shallow=False) else [there]
            elif os.path.lexists(there) or any(
                os.path.lexists(above) and not above.is_dir() for above in (target / p for p in path.parents)
            ):
                differing.append(there)
            else:
                missing.append(path)
    return missing, differing


def _move(source: Path, target: Path) -> None:
    """Rename; what came to stand at `target` meanwhile is not replaced."""
    if source.is_dir():
        os.rename(source, target)  # fails unless there is nothing, or an empty folder
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError(0, "appeared meanwhile", str(target)) from None
        os.rename(source, target)
    else:
        os.unlink(source)


@contextmanager
def work_folder(dataset_folder: Path) -> Iterator[Path]:
    """The locked work folder, with an empty `unpacked` and a `downloads` in it; waits while another run has it.

    Afterwards `unpacked` is removed, and all else (the data set's folder too) as far as it is empty.

    Raises:
        DataError: the folder can't be made.
    """
    folder = dataset_folder / WORK_FOLDER
    lock = _locked(folder)
    try:
        shutil.rmtree(folder / UNPACKED, ignore_errors=True)
        for name in (UNPACKED, DOWNLOADS):
            (folder / name).mkdir(exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder / UNPACKED, ignore_errors=True)
        with suppress(OSError):
            (folder / DOWNLOADS).rmdir()
        if not (folder / DOWNLOADS).exists():
            (folder / LOCK).unlink(missing_ok=True)
        for empty in (folder, dataset_folder):
            with suppress(OSError):
                empty.rmdir()
        os.close(lock)


def _locked(folder: Path) -> int:
    """An open, locked file in the folder, which is made; without locks where the system has none."""
    waiting = False
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another run has just removed the folder
            continue
        except OSError as error:
            raise DataError(f"can't make {folder}: {error.strerror}; check the path and its permissions") from None
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except BlockingIOError:
            if not waiting:
                logger.info(f"another run is preparing {folder.parent}: waiting until it has ended")
            waiting = True
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            logger.info(f"{folder.parent} can't be locked ({error.strerror}): don't prepare it twice at the same time")
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(folder / LOCK)):
                return handle
        os.close(handle)  # the run that had it has removed it
