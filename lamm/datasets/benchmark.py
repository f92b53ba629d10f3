"""The ten data sets of the benchmark besides ImageNet: where they lie, and how to split them without a split file."""

import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.listing import folder_names, image_names
from lamm.datasets.splits import PARTS, Split, SplitItem, checked_item, is_text
from lamm.datasets.splitters import read_entries, read_items, read_matlab, split_50_20_30, split_80_20
from lamm.errors import DataError
from lamm.reading import json_object, read_bytes


class _ClassFolders(BenchmarkDataset):
    """A folder per class; without the published split, 50 / 20 / 30 % of each. Labels are the ranks of the folders.

    Class attributes:
        ignored_folders: folders that are not classes.
        renamed: folder → class name; other classes are called like their folder.
    """

    ignored_folders: tuple[str, ...] = ()
    renamed: ClassVar[Mapping[str, str]] = {}

    def fallback_split(self, rng: random.Random) -> Split:
        """See the class."""
        folders = folder_names(self.image_folder, self.ignored_folders)
        if not folders:
            raise DataError(f"{self.image_folder} holds no class folders; unpack the data set's images there")
        classes = {
            f'the folder "{folder}" in {self.image_folder}': [
                SplitItem(f"{folder}/{image}", label, self.renamed.get(folder, folder))
                for image in image_names(self.image_folder / folder)
            ]
            for label, folder in enumerate(folders)
        }
        return split_50_20_30(classes, rng)


class Caltech101(_ClassFolders):
    """4,128 / 1,649 / 2,465 photos, in the folder tree that `101_ObjectCategories.tar.gz` unpacks to.

    Background images and easy faces are left out.
    """

    dataset_dir = "caltech-101"
    image_prefix = "101_ObjectCategories"
    split_file = "split_zhou_Caltech101.json"
    expected_sizes = (4128, 1649, 2465)
    expected_classes = 100
    ignored_folders = ("BACKGROUND_Google", "Faces_easy")
    renamed: ClassVar = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}


class DescribableTextures(_ClassFolders):
    """2,820 / 1,128 / 1,692 photos; the benchmark's own cut, not the official one in `labels/`."""

    dataset_dir = "dtd"
    image_prefix = "images"
    split_file = "split_zhou_DescribableTextures.json"
    expected_sizes = (2820, 1128, 1692)
    expected_classes = 47


class EuroSAT(_ClassFolders):
    """13,500 / 5,400 / 8,100 pictures of 64 × 64 (the RGB version)."""

    dataset_dir = "eurosat"
    image_prefix = "2750"
    split_file = "split_zhou_EuroSAT.json"
    expected_sizes = (13500, 5400, 8100)
    expected_classes = 10
    renamed: ClassVar = {
        "AnnualCrop": "Annual Crop Land",
        "Forest": "Forest",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "River": "River",
        "SeaLake": "Sea or Lake",
    }


class FGVCAircraft(BenchmarkDataset):
    """3,334 / 3,333 / 3,333 photos; the official lists, so there is no split file."""

    dataset_dir = "fgvc_aircraft"
    image_prefix = "images"
    expected_sizes = (3334, 3333, 3333)
    expected_classes = 100

    def whole_split(self) -> Split:
        """`images_variant_{train,val,test}.txt`; labels are the variants' lines in `variants.txt`."""
        variants = read_entries(self.folder / "variants.txt", str, "variant name")
        label_of = {name: label for label, name in enumerate(variants)}

        def parse(line: str) -> SplitItem | None:
            """`0034309 F/A-18`: only the first space separates."""
            image, name = line.split(maxsplit=1)
            return SplitItem(f"{image}.jpg", label_of[name], name) if name in label_of else None

        form = "image_id name, with a name of variants.txt"
        return Split(*(read_items(self.folder / f"images_variant_{part}.txt", parse, form) for part in PARTS))


class Food101(_ClassFolders):
    """50,500 / 20,200 / 30,300 photos; the benchmark's own cut, not the official one in `meta/`."""

    dataset_dir = "food-101"
    image_prefix = "images"
    split_file = "split_zhou_Food101.json"
    expected_sizes = (50500, 20200, 30300)
    expected_classes = 101


class OxfordFlowers(BenchmarkDataset):
    """4,093 / 1,633 / 2,463 photos; the benchmark's own cut, not the official one in `setid.mat`."""

    dataset_dir = "oxford_flowers"
    image_prefix = "jpg"
    split_file = "split_zhou_OxfordFlowers.json"
    expected_sizes = (4093, 1633, 2463)
    expected_classes = 102

    def fallback_split(self, rng: random.Random) -> Split:
        """`imagelabels.mat` and `cat_to_name.json`, 50 / 20 / 30 % of each flower, in the order of the first images."""
        file = self.folder / "imagelabels.mat"
        try:
            labels = [int(label) for label in read_matlab(file, "labels")[0]]
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{file} holds labels that are not numbers; fetch it again") from None
        names = self._names(self.folder / "cat_to_name.json")
        images: dict[int, list[SplitItem]] = {}
        for number, label in enumerate(labels, start=1):
            if label < 1 or str(label) not in names:
                raise DataError(f"cat_to_name.json in {self.folder} has no name for flower {label}; fetch it again")
            item = SplitItem(f"image_{number:05d}.jpg", label - 1, names[str(label)])
            images.setdefault(label, []).append(item)
        return split_50_20_30({f'flower {label} ("{names[str(label)]}")': images[label] for label in images}, rng)

    @staticmethod
    def _names(file: Path) -> dict[str, str]:
        try:
            names = json_object(read_bytes(file))
        except FileNotFoundError:
            raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{file} can't be read as JSON ({error}); fetch it again") from None
        if not all(map(is_text, names.values())):
            raise DataError(f'{file} holds no object of names such as {{"21": "fire lily"}}; fetch it again')
        return names


class OxfordPets(BenchmarkDataset):
    """2,944 / 736 / 3,669 photos."""

    dataset_dir = "oxford_pets"
    image_prefix = "images"
    split_file = "split_zhou_OxfordPets.json"
    expected_sizes = (2944, 736, 3669)
    expected_classes = 37

    def fallback_split(self, rng: random.Random) -> Split:
        """The official lists; a fifth of each breed's training images is for validation."""
        trainval, test = (
            read_items(self.folder / "annotations" / name, self._parse, "image_name class_id species breed_id")
            for name in ("trainval.txt", "test.txt")
        )
        return split_80_20(trainval, test, rng)

    @staticmethod
    def _parse(line: str) -> SplitItem | None:
        """`american_bulldog_12 2 2 1`: the breed is the image's name without its number; labels count from 1."""
        image, label, _species, _breed = line.split()
        breed, _, number = image.rpartition("_")
        return SplitItem(f"{image}.jpg", int(label) - 1, breed.lower()) if breed and number and int(label) > 0 else None


class StanfordCars(BenchmarkDataset):
    """6,509 / 1,635 / 8,041 photos in `cars_train/` and `cars_test/`."""

    dataset_dir = "stanford_cars"
    split_file = "split_zhou_StanfordCars.json"
    expected_sizes = (6509, 1635, 8041)
    expected_classes = 196

    def fallback_split(self, rng: random.Random) -> Split:
        """The official annotations; a fifth of each model's training images is for validation."""
        meta = self.folder / "devkit" / "cars_meta.mat"
        try:
            models = [str(cell[0]).split() for cell in read_matlab(meta, "class_names")[0]]
            names = [" ".join([year, *model]) for *model, year in models]  # "Audi TTS Coupe 2012": the year comes first
        except (IndexError, TypeError, ValueError):
            raise DataError(f"{meta} has no list of class names; fetch car_devkit.tgz again") from None
        trainval = self._annotated(self.folder / "devkit" / "cars_train_annos.mat", "cars_train", names)
        test = self._annotated(self.folder / "cars_test_annos_withlabels.mat", "cars_test", names)
        return split_80_20(trainval, test, rng)

    @staticmethod
    def _annotated(file: Path, images: str, names: list[str]) -> list[SplitItem]:
        items = []
        for annotation in read_matlab(file, "annotations")[0]:
            try:
                image, label = str(annotation["fname"][0]), int(annotation["class"][0, 0]) - 1
            except (IndexError, KeyError, TypeError, ValueError, OverflowError):
                raise DataError(
                    f"{file} holds an annotation without a file name and a class; fetch the file again"
                ) from None
            if not 0 <= label < len(names):
                raise DataError(f"{file}: {image} has class {label + 1}, cars_meta.mat names 1 to {len(names)}")
            items.append(checked_item((f"{images}/{image}", label, names[label]), f"{file}, {image}"))
        return items


class SUN397(BenchmarkDataset):
    """15,880 / 3,970 / 19,850 photos: the first of the ten official partitions."""

    dataset_dir = "sun397"
    image_prefix = "SUN397"
    split_file = "split_zhou_SUN397.json"
    expected_sizes = (15880, 3970, 19850)
    expected_classes = 397

    def fallback_split(self, rng: random.Random) -> Split:
        """The official lists; a fifth of each scene's training images is for validation."""
        classes = read_entries(self.folder / "ClassName.txt", lambda line: line.removeprefix("/"), "/a/abbey")
        label_of = {name: label for label, name in enumerate(classes)}

        def parse(line: str) -> SplitItem | None:
            """`/a/apartment_building/outdoor/sun_aaa.jpg` is of the class "outdoor apartment_building"."""
            path = line.removeprefix("/")
            scene = path.rpartition("/")[0]
            name = " ".join(reversed(scene.split("/")[1:]))
            return SplitItem(path, label_of[scene], name) if scene in label_of else None

        form = "/a/abbey/sun_aaa.jpg, with a scene of ClassName.txt"
        trainval, test = (read_items(self.folder / f"{name}_01.txt", parse, form) for name in ("Training", "Testing"))
        return split_80_20(trainval, test, rng)


class UCF101(BenchmarkDataset):
    """7,639 / 1,898 / 3,783 frames: the first of the three official partitions."""

    dataset_dir = "ucf101"
    image_prefix = "UCF-101-midframes"
    split_file = "split_zhou_UCF101.json"
    expected_sizes = (7639, 1898, 3783)
    expected_classes = 101

    def fallback_split(self, rng: random.Random) -> Split:
        """The official lists; a fifth of each action's training videos is for validation."""
        lists = self.folder / "ucfTrainTestlist"
        classes = read_entries(lists / "classInd.txt", self._action_and_label, "1 ApplyEyeMakeup")
        label_of = dict(classes)
        if not len(classes) == len(label_of) == len(set(label_of.values())):
            raise DataError(f"{lists / 'classInd.txt'} has an action or a number twice; fetch the file again")

        def parse(line: str) -> SplitItem | None:
            """`ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1`; a number behind the path is not needed."""
            action, _, video = line.split()[0].partition("/")
            if action not in label_of or not video:
                return None
            name = "_".join(re.findall("[A-Z][^A-Z]*", action)) or action  # Apply_Eye_Makeup
            return SplitItem(f"{name}/{Path(video).stem}.jpg", label_of[action], name)

        form = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi, with an action of classInd.txt"
        trainval, test = (read_items(lists / f"{name}list01.txt", parse, form) for name in ("train", "test"))
        return split_80_20(trainval, test, rng)

    @staticmethod
    def _action_and_label(line: str) -> tuple[str, int] | None:
        number, action = line.split()
        return (action, int(number) - 1) if int(number) > 0 else None
