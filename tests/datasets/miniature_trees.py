"""Miniatures of the fifteen data sets in their true layouts, and their published split files."""

import json
from collections.abc import Callable, Iterable, Mapping
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

# Images a class: 5 and 7 are halved to a tie.
COUNTS = (10, 7, 5)


def build_caltech101(root: Path) -> Truth:
    """Capitals come before lower case; two folders are no classes; the background folder holds a stray file."""
    folder = root / "caltech-101"
    names = {
        "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "accordion": "accordion",
        "airplanes": "airplane", "car_side": "car_side", "water_lilly": "water_lilly", "yin_yang": "yin_yang",
    }  # fmt: skip
    images = folder / "101_ObjectCategories"
    for ignored in ("BACKGROUND_Google", "Faces_easy"):
        write_images(images / ignored, [f"image_{number:04d}.jpg" for number in range(1, 7)])
    write_lines(images / "BACKGROUND_Google" / "tmp", ["a list"])
    return _class_folders(folder, "101_ObjectCategories", names, lambda name, number: f"image_{number:04d}.jpg")


def build_dtd(root: Path) -> Truth:
    """With the official label lists, which the benchmark does not use, and a hidden file in a class folder."""
    folder = root / "dtd"
    names = {name: name for name in ("banded", "polka-dotted", "waffled")}
    truth = _class_folders(folder, "images", names, lambda name, number: f"{name}_{number:04d}.jpg")
    (folder / "images" / "waffled" / ".directory").write_bytes(b"[Dolphin]\n")
    for part in ("train1", "val1", "test1"):
        write_lines(folder / "labels" / f"{part}.txt", list(truth.label_of)[:3])
    return truth


def build_food101(root: Path) -> Truth:
    """With the official lists, which the benchmark does not use; images are called by number."""
    folder = root / "food-101"
    names = {name: name for name in ("apple_pie", "baby_back_ribs", "pho", "waffles")}
    truth = _class_folders(folder, "images", names, lambda name, number: f"{1000000 + 7919 * number}.jpg")
    listed = sorted(path.removesuffix(".jpg") for path in truth.label_of)
    write_lines(folder / "meta" / "classes.txt", sorted(names))
    write_lines(folder / "meta" / "labels.txt", ["Apple pie", "Baby back ribs", "Pho", "Waffles"])
    for part, paths in (("train", listed[::2]), ("test", listed[1::2])):
        write_lines(folder / "meta" / f"{part}.txt", paths)
        by_class = {name: [path for path in paths if path.startswith(f"{name}/")] for name in names}
        (folder / "meta" / f"{part}.json").write_text(json.dumps(by_class), encoding="utf-8")
    write_lines(folder / "README.txt", ["Food-101"])
    write_lines(folder / "license_agreement.txt", ["for research"])
    return truth


def build_eurosat(root: Path) -> Truth:
    """All ten classes, each with a name that differs from its folder's."""
    names = {
        "AnnualCrop": "Annual Crop Land", "Forest": "Forest", "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road", "Industrial": "Industrial Buildings", "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land", "Residential": "Residential Buildings", "River": "River",
        "SeaLake": "Sea or Lake",
    }  # fmt: skip
    return _class_folders(root / "eurosat", "2750", names, lambda name, number: f"{name}_{number}.jpg")


def _class_folders(folder: Path, prefix: str, names: Mapping[str, str], file_name: Callable[[str, int], str]) -> Truth:
    """A folder a class, in label order; `names` is folder → class name."""
    label_of, counts = {}, []
    for label, name in enumerate(names):
        counts.append(COUNTS[label % len(COUNTS)])
        # Numbers count down: the order in which files are made is not that of their names.
        paths = [f"{name}/{file_name(name, number)}" for number in range(counts[-1], 0, -1)]
        write_images(folder / prefix, paths, shade=label)
        label_of |= dict.fromkeys(paths, label)
    return Truth(folder, list(names.values()), label_of, cut_50_20_30(counts))


def build_oxford_pets(root: Path) -> Truth:
    """Breeds with and without capitals, and the stray `.mat` files of the real archive among the images."""
    folder = root / "oxford_pets"
    breeds = {"Abyssinian": (1, 1), "american_bulldog": (2, 1), "Bengal": (1, 2), "german_shorthaired": (2, 2)}
    label_of: dict[str, int] = {}
    lines: dict[str, list[str]] = {"trainval": [], "test": []}
    trainval_counts = (10, 8, 7, 3)
    for label, (breed, (species, breed_id)) in enumerate(breeds.items()):
        for number in range(1, trainval_counts[label] + 5):
            name = f"{breed}_{number}"
            label_of[f"{name}.jpg"] = label
            part = "trainval" if number <= trainval_counts[label] else "test"
            lines[part].append(f"{name} {label + 1} {species} {breed_id}")
    write_images(folder / "images", label_of)
    (folder / "images" / "Abyssinian_1.mat").write_bytes(b"MATLAB")
    for part, of_part in lines.items():
        write_lines(folder / "annotations" / f"{part}.txt", of_part)
    write_lines(folder / "annotations" / "list.txt", ["#Image CLASS-ID SPECIES BREED ID", *lines["trainval"]])
    names = ["abyssinian", "american_bulldog", "bengal", "german_shorthaired"]
    test = {f"{line.split()[0]}.jpg" for line in lines["test"]}
    return Truth(folder, names, label_of, cut_80_20(trainval_counts, len(test)), {"test": test})


def build_fgvc_aircraft(root: Path) -> Truth:
    """Variants in an order of their own, one with a slash and one with a space; ids with leading zeros."""
    folder = root / "fgvc_aircraft"
    variants = ["Yak-42", "707-320", "F/A-18", "Model B200"]
    label_of: dict[str, int] = {}
    official: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    lines: dict[str, list[str]] = {part: [] for part in official}
    number = 34309
    for place in range(6):
        for label, variant in enumerate(variants):
            number += 1013
            part = ("train", "train", "train", "val", "test", "test")[place]
            label_of[f"{number:07d}.jpg"] = label
            official[part].add(f"{number:07d}.jpg")
            lines[part].append(f"{number:07d} {variant}")
    write_images(folder / "images", label_of)
    write_lines(folder / "variants.txt", variants)
    write_lines(folder / "families.txt", ["Yak-42", "Boeing 707", "F/A-18", "King Air"])
    write_lines(folder / "manufacturers.txt", ["Yakovlev", "Boeing", "McDonnell Douglas", "Beechcraft"])
    for part, of_part in {**lines, "trainval": lines["train"] + lines["val"]}.items():
        write_lines(folder / f"images_variant_{part}.txt", of_part)
    return Truth(folder, variants, label_of, (12, 4, 8), official)


def build_sun397(root: Path) -> Truth:
    """Scenes of one and of two parts; the image tree holds more photos than the lists name."""
    folder = root / "sun397"
    names = {
        "/a/abbey": "abbey",
        "/a/apartment_building/outdoor": "outdoor apartment_building",
        "/b/bakery/shop": "shop bakery",
        "/t/track/outdoor": "outdoor track",
    }
    label_of: dict[str, int] = {}
    train: list[str] = []
    test: list[str] = []
    for label, scene in enumerate(names):
        photos = [f"{scene}/sun_{'abcd'[label]}{number:016d}.jpg" for number in range(15)]
        train += photos[:10]
        test += photos[10:]
        label_of |= {photo.removeprefix("/"): label for photo in photos}
        write_images(folder / "SUN397", [f"{scene[1:]}/sun_unlisted.jpg"])
    write_images(folder / "SUN397", label_of)
    for place in (folder, folder / "SUN397"):
        write_lines(place / "ClassName.txt", names)
    # The lists of the first partition; those of the second must not be taken.
    for number, (of_train, of_test) in (("01", (train, test)), ("02", (test, train))):
        write_lines(folder / f"Training_{number}.txt", of_train)
        write_lines(folder / f"Testing_{number}.txt", of_test)
    official = {"test": {path.removeprefix("/") for path in test}}
    return Truth(folder, list(names.values()), label_of, cut_80_20([10] * 4, len(test)), official)


def build_ucf101(root: Path) -> Truth:
    """Lists with the line ends of another system; an action whose videos are spelt otherwise than its folder."""
    folder = root / "ucf101"
    actions = {
        "ApplyEyeMakeup": ("Apply_Eye_Makeup", "ApplyEyeMakeup"),
        "BasketballDunk": ("Basketball_Dunk", "BasketballDunk"),
        "HandstandPushups": ("Handstand_Pushups", "HandStandPushups"),
        "YoYo": ("Yo_Yo", "YoYo"),
    }
    label_of: dict[str, int] = {}
    train: list[str] = []
    test: list[str] = []
    official = set()
    train_counts = (9, 12, 6, 10)
    for label, (action, (name, spelling)) in enumerate(actions.items()):
        for number in range(train_counts[label] + 4):
            video = f"v_{spelling}_g{number // 4 + 1:02d}_c{number % 4 + 1:02d}"
            label_of[f"{name}/{video}.jpg"] = label
            if number < 4:
                test.append(f"{action}/{video}.avi")
                official.add(f"{name}/{video}.jpg")
            else:
                train.append(f"{action}/{video}.avi {label + 1}")
    write_images(folder / "UCF-101-midframes", label_of)
    lists = folder / "ucfTrainTestlist"
    write_lines(lists / "classInd.txt", [f"{label + 1} {action}" for label, action in enumerate(actions)], "\r\n")
    for number, (of_train, of_test) in (("01", (train, test)), ("02", (train[::2], test[::2]))):
        write_lines(lists / f"trainlist{number}.txt", of_train, "\r\n")
        write_lines(lists / f"testlist{number}.txt", of_test, "\r\n")
    names = [name for name, _ in actions.values()]
    return Truth(folder, names, label_of, cut_80_20(train_counts, len(test)), {"test": official})


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


# The real ids and names: two classes are called "missile" and two "sunglasses".
NAMES = {
    "n01440764": "tench",
    "n01443537": "goldfish",
    "n01484850": "great white shark",
    "n01491361": "tiger shark",
    "n01494475": "hammerhead shark",
    "n01496331": "electric ray",
    "n01498041": "stingray",
    "n01514668": "rooster",
    "n03773504": "missile",
    "n04008634": "missile",
    "n04355933": "sunglasses",
    "n04356056": "sunglasses",
}
IDS = list(NAMES)
# What ImageNet-A and -R hold; their labels are ranks among these.
SOME_IDS = ["n01443537", "n01498041", "n03773504", "n04008634", "n04356056"]


def build_imagenet(root: Path) -> Truth:
    """A folder a class in `train` and in `val`."""
    folder = root / "imagenet"
    train = {f"train/{wnid}/{wnid}_{9 * number + 2}.JPEG": wnid for wnid in IDS for number in range(12, 7, -1)}
    # Numbered through all classes, as the real ones.
    numbered = {(label, place): f"{label + 12 * place:08d}" for label in range(12) for place in (2, 1)}
    val = {f"val/{IDS[label]}/ILSVRC2012_val_{number}.JPEG": IDS[label] for (label, _), number in numbered.items()}
    write_images(folder / "images", [*train, *val])
    _write_classnames(folder)
    label_of = {path: IDS.index(wnid) for path, wnid in (train | val).items()}
    official = {"train": set(train), "test": set(val)}
    return Truth(folder, list(NAMES.values()), label_of, (len(train), 0, len(val)), official)


def build_imagenetv2(root: Path) -> Truth:
    """Folders called by label, so that 10 comes after 9 and not after 1."""
    folder = root / "imagenetv2"
    label_of = {f"{label}/{label:02x}{number}c0ffee.jpeg": label for label in range(len(IDS)) for number in range(3)}
    return _variant(folder, "imagenetv2-matched-frequency-format-val", IDS, label_of)


def build_imagenet_sketch(root: Path) -> Truth:
    """All classes."""
    paths = {f"{wnid}/sketch_{number}.JPEG": wnid for wnid in IDS for number in range(3)}
    return _variant(root / "imagenet-sketch", "images", IDS, _ranked(paths, IDS))


def build_imagenet_a(root: Path) -> Truth:
    """Some classes, `classnames.txt` names all, a README beside the class folders."""
    paths = {f"{wnid}/0.00{number}_{NAMES[wnid]}_0.9.jpg": wnid for wnid in SOME_IDS for number in range(3)}
    truth = _variant(root / "imagenet-adversarial", "imagenet-a", SOME_IDS, _ranked(paths, SOME_IDS))
    write_lines(truth.folder / "imagenet-a" / "README.txt", ["n01443537 goldfish"])
    return truth


def build_imagenet_r(root: Path) -> Truth:
    """As ImageNet-A."""
    paths = {f"{wnid}/{kind}_{number}.jpg": wnid for wnid in SOME_IDS for kind in ("art", "toy") for number in range(2)}
    truth = _variant(root / "imagenet-rendition", "imagenet-r", SOME_IDS, _ranked(paths, SOME_IDS))
    write_lines(truth.folder / "imagenet-r" / "README.txt", ["n01443537 goldfish"])
    return truth


def _variant(folder: Path, prefix: str, ids: Iterable[str], label_of: dict[str, int]) -> Truth:
    write_images(folder / prefix, label_of)
    _write_classnames(folder)
    everything = {"train": set(label_of), "test": set(label_of)}
    return Truth(folder, [NAMES[wnid] for wnid in ids], label_of, (len(label_of), 0, len(label_of)), everything)


def _ranked(paths: dict[str, str], ids: list[str]) -> dict[str, int]:
    return {path: ids.index(wnid) for path, wnid in paths.items()}


def _write_classnames(folder: Path) -> None:
    write_lines(folder / "classnames.txt", [f"{wnid} {name}" for wnid, name in NAMES.items()])


_BUILDERS: dict[str, Callable[[Path], Truth]] = {
    "caltech101": build_caltech101,
    "oxford_pets": build_oxford_pets,
    "stanford_cars": build_stanford_cars,
    "oxford_flowers": build_oxford_flowers,
    "food101": build_food101,
    "fgvc_aircraft": build_fgvc_aircraft,
    "sun397": build_sun397,
    "dtd": build_dtd,
    "eurosat": build_eurosat,
    "ucf101": build_ucf101,
    "imagenet": build_imagenet,
    "imagenetv2": build_imagenetv2,
    "imagenet_sketch": build_imagenet_sketch,
    "imagenet_a": build_imagenet_a,
    "imagenet_r": build_imagenet_r,
}
MINIATURES: tuple[str, ...] = tuple(_BUILDERS)
# Data set → its published split file.
PUBLISHED_SPLITS = {
    "caltech101": "split_zhou_Caltech101.json",
    "oxford_pets": "split_zhou_OxfordPets.json",
    "stanford_cars": "split_zhou_StanfordCars.json",
    "oxford_flowers": "split_zhou_OxfordFlowers.json",
    "food101": "split_zhou_Food101.json",
    "sun397": "split_zhou_SUN397.json",
    "dtd": "split_zhou_DescribableTextures.json",
    "eurosat": "split_zhou_EuroSAT.json",
    "ucf101": "split_zhou_UCF101.json",
}


def build_miniature(name: str, root: Path) -> Truth:
    """Make a data set, by its name on the command line, under a data root.

    Raises:
        KeyError: there is none of that name.
    """
    return _BUILDERS[name](root)


def write_published_split(name: str, truth: Truth) -> dict[str, list[list]]:
    """Write a split file of the published name and format beside a miniature; returns what it says.

    It has the sizes that the rules give and picks of its own: by the order of the names, classes from last to first.
    """
    content = _split_by_name(truth)
    text = json.dumps(content, indent=4, separators=(",", ": "))
    (truth.folder / PUBLISHED_SPLITS[name]).write_text(text, encoding="utf-8")
    return content


def _split_by_name(truth: Truth) -> dict[str, list[list]]:
    content: dict[str, list[list]] = {"train": [], "val": [], "test": []}
    fixed = (truth.official or {}).get("test")
    for label in reversed(range(len(truth.classnames))):
        paths = sorted(path for path, of_path in truth.label_of.items() if of_path == label)
        free = [path for path in paths if fixed is None or path not in fixed]
        in_train = round(0.5 * len(free)) if fixed is None else len(free) - round(0.2 * len(free))
        in_val = round(0.2 * len(free))
        cut = {
            "train": free[:in_train],
            "val": free[in_train : in_train + in_val],
            "test": free[in_train + in_val :] if fixed is None else [path for path in paths if path in fixed],
        }
        for part, of_part in cut.items():
            content[part] += [[path, label, truth.classnames[label]] for path in of_part]
    return content
