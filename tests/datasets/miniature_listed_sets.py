"""Miniatures of the data sets whose official lists are text files: Pets, FGVC-Aircraft, SUN397 and UCF101."""

from pathlib import Path

from tests.datasets.miniature_files import Truth, cut_80_20, write_images, write_lines


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
