"""Load an ImageNet whose image files are only claimed to exist, and say in JSON what that took.

Run as a program, so that its peak memory is that of the load: `simulated_imagenet.py ROOT CLASSES IMAGES SHOTS`.
The class folders are real (made where they are missing); listing one gives IMAGES names, as long as the true ones.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lamm.datasets.imagenet import ImageNet

LONG_AGO = 1_500_000_000
IN_VAL = 50


class _Entry:
    """An image file in a listing."""

    __slots__ = ("name", "path")

    def __init__(self, folder: str, name: str) -> None:
        self.name, self.path = name, f"{folder}/{name}"

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return True

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return False


def names_in(folder: str, images: int) -> list[str]:
    """What a class folder is said to hold, in no order."""
    part, wnid = Path(folder).parts[-2:]
    if part == "val":
        return [
            f"ILSVRC2012_val_{(int(wnid[1:]) * 7919 + number * 104729) % 10**8:08d}.JPEG" for number in range(IN_VAL)
        ]
    return [f"{wnid}_{number * 7919 % images}.JPEG" for number in range(images)]


def make_class_folders(root: Path, classes: int) -> None:
    """Empty class folders that last changed long ago, and `classnames.txt`."""
    wnids = [f"n{1440764 + 9973 * number:08d}" for number in range(classes)]
    for wnid in wnids:
        for part in ("train", "val"):
            folder = root / "imagenet" / "images" / part / wnid
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder, (LONG_AGO, LONG_AGO))
    lines = [f"{wnid} the class number {number}\n" for number, wnid in enumerate(wnids)]
    (root / "imagenet" / "classnames.txt").write_text("".join(lines), encoding="utf-8")


def simulate(images: int, listed: list[str]) -> None:
    """Let class folders list `images` names, and such files exist; note every folder that is listed."""
    scandir, isfile = os.scandir, os.path.isfile

    @contextmanager
    def entries(folder: str) -> Iterator[Iterator[_Entry]]:
        yield (_Entry(folder, name) for name in names_in(folder, images))

    def is_class_folder(path: Any) -> bool:
        return Path(path).parent.name in ("train", "val")

    def simulated_scandir(path: Any = ".") -> Any:
        listed.append(os.fspath(path))
        return entries(os.fspath(path)) if is_class_folder(path) else scandir(path)

    os.scandir = simulated_scandir
    os.listdir = lambda path=".": [entry.name for entry in simulated_scandir(path).__enter__()]
    os.path.isfile = lambda path: str(path).endswith(".JPEG") or isfile(path)


def main() -> None:
    """Load once and print what it took."""
    root, (classes, images, shots) = Path(sys.argv[1]), map(int, sys.argv[2:5])
    make_class_folders(root, classes)
    listed: list[str] = []
    simulate(images, listed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    dataset = ImageNet(root=root, num_shots=shots, seed=1)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    place = len(dataset.train_x) // 3
    print(
        json.dumps(
            {
                "seconds": seconds,
                "mb_before": before / 1024,
                "mb_peak": peak / 1024,
                "folders_listed": sum(Path(path).parent.name in ("train", "val") for path in listed),
                "train": len(dataset.train_x),
                "test": len(dataset.test),
                "classes": dataset.num_classes,
                "split_hash": dataset.split_hash,
                "some": [Path(dataset.train_x[index].impath).name for index in (0, place, -1)],
            }
        )
    )


if __name__ == "__main__":
    main()
