"""The class names of ImageNet: `classnames.txt`, a line `<WordNet id> <name>` for each class."""

import re
from collections.abc import Mapping
from pathlib import Path

from lamm.datasets.listing import folder_names
from lamm.datasets.text_lists import read_entries
from lamm.errors import DataError

FILE_NAME = "classnames.txt"
WNID = re.compile("n[0-9]{8}")


def read_classnames(folder: Path) -> dict[str, str]:
    """WordNet id → class name, by ascending id, from the data set's folder or else from `imagenet/` beside it.

    Two ids may have the same name: OpenAI's list calls two classes "missile" and two "sunglasses".

    Raises:
        DataError: there is no such file, a line has another form, or an id comes twice.
    """
    files = [folder / FILE_NAME, folder.parent / "imagenet" / FILE_NAME]
    file = next((file for file in files if file.is_file()), files[0])
    pairs = read_entries(file, _parsed, "n01440764 tench")
    names = dict(pairs)
    if len(names) < len(pairs):
        seen: set[str] = set()
        twice = next(wnid for wnid, _ in pairs if wnid in seen or seen.add(wnid))  # type: ignore[func-returns-value]
        raise DataError(f"{file} has two lines for {twice}; each class has one")
    return dict(sorted(names.items()))


def known_folders(folder: Path, names: Mapping[str, str], source: Path) -> list[str]:
    """The class folders in `folder`, sorted; what is not called like a WordNet id is none.

    Args:
        folder: holds the class folders.
        names: of `read_classnames`.
        source: the data set's folder, for the message.

    Raises:
        DataError: a class folder that `classnames.txt` does not know: all later labels would be off.
    """
    found = [name for name in folder_names(folder) if WNID.fullmatch(name) or name in names]
    unknown = next((name for name in found if name not in names), None)
    if unknown is not None:
        raise DataError(
            f"{folder} has a class folder {unknown}, and {source / FILE_NAME} no name for it: add a line, or remove it"
        )
    return found


def _parsed(line: str) -> tuple[str, str]:
    wnid, name = line.split(maxsplit=1)
    return wnid, name
