"""What of a data set is in its folder, and what is still needed."""

from pathlib import Path

from lamm.datasets.image_files import missing_images
from lamm.datasets.imagenet_sources import VAL
from lamm.datasets.published_files import Need, Part, Source
from lamm.datasets.splits import read_split
from lamm.errors import DataError
from lamm.preparing.completeness import shortcoming


class Survey:
    """The state of a data set's folder, part by part; each part is looked at once, until told to look again.

    Args:
        source: the data set.
        root: the data root.
    """

    def __init__(self, source: Source, root: Path) -> None:
        self.source, self.folder = source, root / source.folder
        self._lacks: dict[str, str] = {}

    def place(self, part: Part) -> Path:
        """Where a part is, or should be."""
        return self.folder / part.target

    def lack(self, part: Part) -> str:
        """What a part lacks, in a few words; "" where it is whole.

        A folder that lacks images which the published split names is not whole, whatever their number.
        """
        if part.target not in self._lacks:
            self._lacks[part.target] = shortcoming(part, self.place(part)) or self._lacks_images_of_split(part)
        return self._lacks[part.target]

    def look_again(self, target: str = "") -> None:
        """Forget what was seen, of one part or of all; images are looked for again when the split has changed."""
        changed = {part.target: part for part in self.source.parts}.get(target)
        if changed is None or changed.need is Need.SPLIT:
            self._lacks.clear()
        self._lacks.pop(target, None)

    def is_needed(self, part: Part) -> bool:
        """Whether a part is not whole and something needs it.

        Lists are needed where the published split is absent; what says the classes of validation images is, where
        these are not in class folders.
        """
        if part.need is Need.LISTS and not any(map(self.lack, self._parts(Need.SPLIT))):
            return False
        if part.need is Need.SORTING and not self.lack(self.source.part(VAL)):
            return False
        return part.need is not Need.EXTRA and bool(self.lack(part))

    def needed(self) -> list[Part]:
        """All parts that are needed and not whole."""
        return [part for part in self.source.parts if self.is_needed(part)]

    @property
    def loads(self) -> bool:
        """Whether the data set can be used: with the published split, or with one that is made here."""
        return not any(part.need is not Need.SPLIT for part in self.needed())

    def _parts(self, need: Need) -> list[Part]:
        return [part for part in self.source.parts if part.need is need]

    def _lacks_images_of_split(self, part: Part) -> str:
        splits = [self.place(split) for split in self._parts(Need.SPLIT) if self.place(split).is_file()]
        if not part.images or not splits:
            return ""
        try:
            paths = [item.path for item in read_split(splits[0]).items()]
        except DataError:
            return ""
        start = f"{part.target}/"
        if len(self.source.image_parts) > 1:  # the split's paths begin with the part's name
            paths = [path.removeprefix(start) for path in paths if path.startswith(start)]
        missing = missing_images(self.place(part), paths)
        return (
            f'lacks {len(missing):,} of the images that {splits[0].name} names, such as "{missing[0]}"'
            if missing
            else ""
        )
