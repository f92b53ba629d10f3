"""The class names of ImageNet: `classnames.txt`, a line `<WordNet id> <name>` for each class."""

from pathlib import Path

from lamm.datasets.text_lists import read_entries
from lamm.errors import DataError

FILE_NAME = "classnames.txt"


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


def _parsed(line: str) -> tuple[str, str]:
    wnid, name = line.split(maxsplit=1)
    return wnid, name
