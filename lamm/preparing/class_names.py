"""`classnames.txt` of ImageNet and its variants: written where it is absent."""

from pathlib import Path

from lamm.datasets.imagenet_classes import FILE_NAME, read_classnames
from lamm.files import write_text
from lamm.log import logger


def write_class_names(folder: Path) -> bool:
    """Write `classnames.txt` into a data set's folder, unless it is there.

    It is a copy of the one in `imagenet/` beside the folder, or else OpenAI's list: `<WordNet id> <name>` a line.

    Returns:
        Whether it was written.

    Raises:
        DataError: the file in `imagenet/` is broken.
    """
    file, original = folder / FILE_NAME, folder.parent / "imagenet" / FILE_NAME
    if file.exists() or not folder.is_dir():
        return False
    from lamm.clip.imagenet_names import imagenet_class_names  # slow to import

    names = read_classnames(original.parent) if original.is_file() else imagenet_class_names()
    write_text(file, "".join(f"{wnid} {name}\n" for wnid, name in names.items()))
    where = f"copied from {original}" if original.is_file() else "OpenAI's class names"
    logger.info(f"{file}: written ({where})")
    return True
