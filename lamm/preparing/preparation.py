"""Laying out one data set: what is there stays, what is missing comes from given files or from the network."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lamm.datasets.imagenet_sources import CLASS_NAMES, VAL
from lamm.datasets.published_files import Need, Part, Source
from lamm.errors import DataError
from lamm.log import logger
from lamm.preparing.archives import is_archive
from lamm.preparing.class_names import write_class_names
from lamm.preparing.completeness import count_images, shortcoming
from lamm.preparing.downloading import DownloadError
from lamm.preparing.fetching import fetch
from lamm.preparing.given_files import check_md5, files_for, published_as, single_part, whose_archive
from lamm.preparing.imagenet_val import is_flat, read_classes_of_val, sort_into_classes
from lamm.preparing.laying_out import lay_out
from lamm.preparing.parts_in_archives import placed_entries
from lamm.preparing.survey import Survey
from lamm.preparing.unpacking import Unpacker
from lamm.preparing.work_folder import DOWNLOADS, UNPACKED, work_folder

# What says the classes of images comes before the images.
_ORDER = (Need.SORTING, Need.EXTRA, Need.REQUIRED, Need.SPLIT, Need.LISTS)


class Preparation:
    """Lays out one data set under a data root.

    Args:
        source: the data set.
        root: the data root; made where it does not exist.
        any_md5: take given archives whose MD5 sum is not the published one.
    """

    def __init__(self, source: Source, root: Path, any_md5: bool = False) -> None:
        self.source, self.any_md5 = source, any_md5
        self.survey = Survey(source, root)
        self.folder = self.survey.folder

    def run(self, given: Sequence[Path] = (), download: bool = False) -> list[str]:
        """Lay out what is missing, from the files given and then, if wished, from the network.

        Args:
            given: archives and single files, or folders with them.
            download: whether to fetch what is still missing.

        Returns:
            What could not be fetched, a line each.

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
        """Write what the archive holds of parts that are not whole; gives these parts."""
        unpacker, size = Unpacker(archive, unpacked), archive.stat().st_size
        seen: set[Part] = set()
        with tqdm(total=size, desc=archive.name, unit="B", unit_scale=True, disable=None) as bar:
            for place, entry in placed_entries(archive, self.source, lambda passed: bar.update(passed - bar.n)):
                seen.add(place.part)
                if self.survey.lack(place.part):
                    unpacker.write(entry, place.path)
        if not seen:
            other = whose_archive(archive)
            hint = f"; it is of {other.title}: python tools/prepare_data.py {other.name}" if other else ""
            folders = ", ".join(f"{part.target}/" for part in self.source.parts if part.is_folder)
            raise DataError(f"{archive} holds nothing of {self.source.title} ({folders}){hint}")
        written = [part for part in seen if self.survey.lack(part)]
        if not written:
            logger.info(f"{archive.name}: not needed, all that it holds is there")
        return sorted(written, key=lambda part: _ORDER.index(part.need))

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
        """Sort ImageNet's validation images that someone unpacked without class folders; gives why it can't be done."""
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
        """Fetch and lay out what is needed, as far as it can be had; gives what can't, a line each."""
        failures = []
        for file in self.source.files:
            if not any(self.survey.is_needed(self.source.part(target)) for target in file.gives):
                continue
            try:
                fetched = fetch(file, work / DOWNLOADS)
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
