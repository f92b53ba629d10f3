"""Miniatures of the data sets that are annotated in MATLAB files: Stanford Cars and Oxford Flowers."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.datasets.miniature_files import (
    Truth,
    cut_50_20_30,
    cut_80_20,
    write_cells,
    write_images,
    write_lines,
    write_matlab,
    write_structs,
)


def build_stanford_cars(root: Path) -> Truth:
    """Classes mixed in the lists, as in the real ones; a class name with a slash."""
    folder = root / "stanford_cars"
    models = [
        "AM General Hummer SUV 2000",
        "Audi TTS Coupe 2012",
        "Ram C/V Cargo Van Minivan 2012",
        "smart fortwo Convertible 2012",
    ]
    names = [
        "2000 AM General Hummer SUV",
        "2012 Audi TTS Coupe",
        "2012 Ram C/V Cargo Van Minivan",
        "2012 smart fortwo Convertible",
    ]
    trained = [2, 0, 1, 3, 1, 0, 2, 1, 0, 1, 3, 2, 2, 0, 1, 3, 1, 0, 2, 3, 1, 1, 0, 3]
    tested = [1, 3, 0, 2, 2, 0, 1, 3, 3, 1]
    train = {f"cars_train/{number:05d}.jpg": label for number, label in enumerate(trained, start=1)}
    test = {f"cars_test/{number:05d}.jpg": label for number, label in enumerate(tested, start=1)}
    for path, label in (train | test).items():
        write_images(folder, [path], shade=label)
    write_cells(folder / "devkit" / "cars_meta.mat", "class_names", models)
    write_structs(folder / "devkit" / "cars_train_annos.mat", "annotations", _annotations(train))
    write_structs(folder / "cars_test_annos_withlabels.mat", "annotations", _annotations(test))
    # The devkit's own list of test images has no classes.
    unlabelled = [{key: value for key, value in one.items() if key != "class"} for one in _annotations(test)]
    write_structs(folder / "devkit" / "cars_test_annos.mat", "annotations", unlabelled)
    write_lines(folder / "devkit" / "README.txt", ["Stanford Cars"])
    sizes = cut_80_20([trained.count(label) for label in range(4)], len(test))
    return Truth(folder, names, train | test, sizes, {"test": set(test)})


def _annotations(label_of: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "bbox_x1": np.uint16(3),
            "bbox_y1": np.uint16(2),
            "bbox_x2": np.uint16(20),
            "bbox_y2": np.uint16(15),
            "class": np.uint8(label + 1),
            "fname": path.rpartition("/")[2],
        }
        for path, label in label_of.items()
    ]


def build_oxford_flowers(root: Path) -> Truth:
    """Flowers in an order of their own, one of them in two places, with the official cut that is not used."""
    folder = root / "oxford_flowers"
    # From 1: the third flower's images come first.
    labels = [3] * 10 + [1] * 5 + [4] * 7 + [2] * 9 + [1] * 3
    names = {"4": "sweet pea", "2": "hard-leaved pocket orchid", "3": "canterbury bells", "1": "pink primrose"}
    label_of = {f"image_{number:05d}.jpg": label - 1 for number, label in enumerate(labels, start=1)}
    write_images(folder / "jpg", label_of)
    write_matlab(folder / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)})
    ids = np.arange(1, len(labels) + 1, dtype=np.uint16)
    official = {"trnid": ids[None, ::3], "valid": ids[None, 1::3], "tstid": ids[None, 2::3]}
    write_matlab(folder / "setid.mat", official)
    (folder / "cat_to_name.json").write_text(json.dumps(names), encoding="utf-8")
    sizes = cut_50_20_30(labels.count(label) for label in range(1, 5))
    return Truth(folder, [names[str(label)] for label in range(1, 5)], label_of, sizes)
