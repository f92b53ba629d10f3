"""Small archives of all data sets as they are published, and sources whose sizes and checksums fit them."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from lamm.clip.open_clip_models import imagenet_class_names
from lamm.datasets.sources import SOURCES, Source
from lamm.preparing.prepare import Preparation
from lamm.preparing.survey import count_images

WNIDS = list(imagenet_class_names())
Files = dict[str, bytes]


def jpeg(seed: int = 0) -> bytes:
    """A photo of 16 x 16 noise; the same seed gives the same bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def tar(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar archive; mode `w:gz` and the like compress it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def targz(files: Mapping[str, bytes]) -> bytes:
    return tar(files, "w:gz")


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def matlab(**variables: object) -> bytes:
    out = io.BytesIO()
    savemat(out, variables)
    return out.getvalue()


def photos(pattern: str, count: int, start: int = 1) -> Files:
    """`count` photos, their numbers put into the pattern."""
    return {pattern.format(number): jpeg(number) for number in range(start, start + count)}


def classes_of_photos(pattern: str, classes: Mapping[str, str] | list[str], count: int = 4) -> Files:
    """Photos of several classes: pattern with `{name}` and `{}` for the number."""
    return {pattern.format(number, name=name): jpeg(number) for name in classes for number in range(1, count + 1)}


def caltech101() -> Files:
    images = classes_of_photos(
        "101_ObjectCategories/{name}/image_{:04d}.jpg", ["Faces", "accordion", "BACKGROUND_Google"]
    )
    return {
        "caltech-101.zip": zipped(
            {
                "caltech-101/101_ObjectCategories.tar.gz": targz({**images, "101_ObjectCategories/Faces/tmp": b"x"}),
                "caltech-101/Annotations.tar": tar({"Annotations/accordion/annotation_0001.mat": b"x"}),
                "__MACOSX/caltech-101/._Annotations.tar": b"x",
            }
        )
    }


def oxford_pets() -> Files:
    lists = {
        part: "".join(
            f"{name}_{number} {label} 1 1\n"
            for label, name in enumerate(("Abyssinian", "beagle"), 1)
            for number in numbers
        )
        for part, numbers in (("trainval", (1, 2, 3)), ("test", (4,)))
    }
    images = classes_of_photos("images/{name}_{}.jpg", ["Abyssinian", "beagle"])
    annotations = {f"annotations/{part}.txt": text.encode() for part, text in lists.items()}
    return {
        "images.tar.gz": targz({**images, "images/Abyssinian_100.mat": b"x"}),
        "annotations.tar.gz": targz(
            {**annotations, "annotations/._trimaps": b"x", "annotations/trimaps/beagle_1.png": b"x"}
        ),
    }


def stanford_cars() -> Files:
    def annotated(numbers: range) -> np.ndarray:
        rows = [(f"{number:05d}.jpg", 1 + number % 2) for number in numbers]
        return np.array(rows, dtype=[("fname", object), ("class", object)]).reshape(1, -1)

    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object).reshape(1, -1)
    devkit = {
        "devkit/cars_meta.mat": matlab(class_names=names),
        "devkit/cars_train_annos.mat": matlab(annotations=annotated(range(1, 7))),
        "devkit/README.txt": b"x",
    }
    return {
        "cars_train.tgz": targz(photos("cars_train/{:05d}.jpg", 6)),
        "cars_test.tgz": targz(photos("cars_test/{:05d}.jpg", 4)),
        "car_devkit.tgz": targz(devkit),
        "cars_test_annos_withlabels.mat": matlab(annotations=annotated(range(1, 5))),
    }


def oxford_flowers() -> Files:
    return {
        "102flowers.tgz": targz(photos("jpg/image_{:05d}.jpg", 8)),
        "imagelabels.mat": matlab(labels=np.array([[1, 1, 1, 1, 2, 2, 2, 2]])),
        "cat_to_name.json": json.dumps({"1": "pink primrose", "2": "fire lily"}).encode(),
    }


def food101() -> Files:
    images = classes_of_photos("food-101/images/{name}/{}.jpg", ["apple_pie", "waffles"])
    return {
        "food-101.tar.gz": targz({**images, "food-101/meta/classes.txt": b"apple_pie\n", "food-101/README.txt": b"x"})
    }


def fgvc_aircraft() -> Files:
    top = "fgvc-aircraft-2013b"
    images = {f"{top}/data/images/{name}.jpg": jpeg() for name in ("0034309", "0034958", "0037511", "0037512")}
    lists = {
        "variants": "707-320\nF/A-18\n",
        "families": "707\n",
        "images_variant_train": "0034309 707-320\n0034958 F/A-18\n",
        "images_variant_val": "0037511 F/A-18\n",
        "images_variant_test": "0037512 707-320\n",
    }
    texts = {f"{top}/data/{name}.txt": text.encode() for name, text in lists.items()}
    return {
        "fgvc-aircraft-2013b.tar.gz": targz({**images, **texts, f"{top}/README.md": b"x", f"{top}/evaluation.m": b"x"})
    }


def sun397() -> Files:
    scenes = ["a/abbey", "a/apartment_building/outdoor"]
    images = classes_of_photos("SUN397/{name}/sun_{}.jpg", scenes)
    lists = {
        "ClassName.txt": "".join(f"/{scene}\n" for scene in scenes),
        "Training_01.txt": "".join(f"/{scene}/sun_{number}.jpg\n" for scene in scenes for number in (1, 2, 3)),
        "Testing_01.txt": "".join(f"/{scene}/sun_4.jpg\n" for scene in scenes),
        "Training_02.txt": "",
    }
    partitions = {name: text.encode() for name, text in lists.items()}
    return {
        "SUN397.tar.gz": targz({**images, "SUN397/ClassName.txt": partitions["ClassName.txt"]}),
        "Partitions.zip": zipped(partitions),
    }


def dtd() -> Files:
    images = classes_of_photos("dtd/images/{name}/{name}_{:04d}.jpg", ["banded", "polka-dotted"])
    others = {"dtd/images/banded/.directory": b"x", "dtd/labels/train1.txt": b"x", "dtd/imdb/imdb.mat": b"x"}
    return {"dtd-r1.0.1.tar.gz": targz({**images, **others})}


def eurosat() -> Files:
    return {"EuroSAT.zip": zipped(classes_of_photos("2750/{name}/{name}_{}.jpg", ["AnnualCrop", "Forest"]))}


def ucf101() -> Files:
    videos = {"ApplyEyeMakeup": "Apply_Eye_Makeup", "YoYo": "Yo_Yo"}
    images = {
        f"UCF-101-midframes/{folder}/v_{action}_g0{group}_c01.jpg": jpeg(group)
        for action, folder in videos.items()
        for group in range(1, 5)
    }
    lists = {
        "classInd": "1 ApplyEyeMakeup\n2 YoYo\n",
        "trainlist01": "".join(f"{a}/v_{a}_g0{g}_c01.avi 1\n" for a in videos for g in (1, 2, 3)),
        "testlist01": "".join(f"{a}/v_{a}_g04_c01.avi\n" for a in videos),
    }
    return {
        "UCF-101-midframes.zip": zipped(images),
        "UCF101TrainTestSplits-RecognitionTask.zip": zipped(
            {f"ucfTrainTestlist/{name}.txt": text.encode() for name, text in lists.items()}
        ),
    }


VAL_CLASSES = (WNIDS[1], WNIDS[0], WNIDS[1])


"""Classes of the three small validation images, in the order of their numbers."""


def imagenet() -> Files:
    train = {f"{wnid}.tar": tar(photos(wnid + "_{}.JPEG", 2)) for wnid in WNIDS[:2]}
    # Ids of the devkit are in no order, and synsets above the classes have ids too.
    fields = [
        ("ILSVRC2012_ID", object),
        ("WNID", object),
        ("words", object),
        ("gloss", object),
        ("num_children", object),
    ]
    synsets = np.array(
        [(7, WNIDS[0], "tench", "", 0), (3, WNIDS[1], "goldfish", "", 0), (1001, "n00001740", "entity", "", 5)], fields
    )
    numbers = {WNIDS[0]: 7, WNIDS[1]: 3}
    devkit = {
        "data/meta.mat": matlab(synsets=synsets.reshape(-1, 1)),
        "data/ILSVRC2012_validation_ground_truth.txt": "".join(f"{numbers[wnid]}\n" for wnid in VAL_CLASSES).encode(),
        "readme.txt": b"x",
    }
    return {
        "ILSVRC2012_img_train.tar": tar(train),
        "ILSVRC2012_img_val.tar": tar(photos("ILSVRC2012_val_{:08d}.JPEG", 3)),
        "ILSVRC2012_devkit_t12.tar.gz": targz(
            {f"ILSVRC2012_devkit_t12/{name}": content for name, content in devkit.items()}
        ),
    }


def imagenetv2() -> Files:
    top = "imagenetv2-matched-frequency-format-val"
    return {
        "imagenetv2-matched-frequency.tar.gz": targz(classes_of_photos(top + "/{name}/{}.jpeg", ["0", "1", "999"], 2))
    }


def imagenet_sketch() -> Files:
    return {"ImageNet-Sketch.zip": zipped(classes_of_photos("sketch/{name}/sketch_{}.JPEG", WNIDS[:2], 2))}


def imagenet_a() -> Files:
    images = classes_of_photos("imagenet-a/{name}/0.00{}_fox.jpg", ["n01498041", "n01531178"], 2)
    return {"imagenet-a.tar": tar({**images, "imagenet-a/README.txt": b"x"})}


def imagenet_r() -> Files:
    images = classes_of_photos("imagenet-r/{name}/art_{}.jpg", ["n01443537", "n01484850"], 2)
    return {"imagenet-r.tar": tar({**images, "imagenet-r/README.txt": b"x"})}


MAKERS = {
    maker.__name__: maker
    for maker in (
        caltech101, oxford_pets, stanford_cars, oxford_flowers, food101, fgvc_aircraft, sun397, dtd, eurosat, ucf101,
        imagenet, imagenetv2, imagenet_sketch, imagenet_a, imagenet_r,
    )
}  # fmt: skip


def write_archives(name: str, folder: Path) -> Path:
    """Write the small archives of a data set into a folder, under their published names."""
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, content in MAKERS[name]().items():
        (folder / file_name).write_bytes(content)
    return folder


# Images and folders with images in the small archives, by target.
COUNTS = {
    ("caltech101", "101_ObjectCategories"): (12, 3),
    ("oxford_pets", "images"): (8, 0),
    ("stanford_cars", "cars_train"): (6, 0),
    ("stanford_cars", "cars_test"): (4, 0),
    ("oxford_flowers", "jpg"): (8, 0),
    ("food101", "images"): (8, 2),
    ("fgvc_aircraft", "images"): (4, 0),
    ("sun397", "SUN397"): (8, 2),
    ("dtd", "images"): (8, 2),
    ("eurosat", "2750"): (8, 2),
    ("ucf101", "UCF-101-midframes"): (8, 2),
    ("imagenet", "images/train"): (4, 2),
    ("imagenet", "images/val"): (3, 2),
    ("imagenetv2", "imagenetv2-matched-frequency-format-val"): (6, 3),
    ("imagenet_sketch", "images"): (4, 2),
    ("imagenet_a", "imagenet-a"): (4, 2),
    ("imagenet_r", "imagenet-r"): (4, 2),
}


def small_source(name: str, url_base: str = "") -> Source:
    """A source of the catalogue with the counts of the small archives, without check sums, links below `url_base`."""
    source = with_counts(name, {target: counts for (of, target), counts in COUNTS.items() if of == name})
    files = [
        replace(file, md5="", urls=(f"{url_base}/{file.name}",) if url_base and file.urls else ())
        for file in source.files
    ]
    return replace(source, files=tuple(files))


def fitting_source(name: str, root: Path) -> Source:
    """A source of the catalogue with the counts of what is in the image folders under a data root.

    What image folders must hold is left out: other small data sets have other images.
    """
    folder = root / SOURCES[name].folder
    counts = {part.target: count_images(folder / part.target) for part in SOURCES[name].image_parts}
    source = with_counts(name, counts)
    return replace(source, parts=tuple(replace(part, holds=() if part.images else part.holds) for part in source.parts))


def with_counts(name: str, counts: Mapping[str, tuple[int, int]]) -> Source:
    """A source of the catalogue that expects other numbers of (images, folders), and has no check sums of files."""
    parts = []
    for part in SOURCES[name].parts:
        images, folders = counts.get(part.target, (0, 0))
        folders = folders if part.folders else 0
        parts.append(replace(part, images=images, folders=folders, size=0, sha256=""))
    return replace(SOURCES[name], parts=tuple(parts))


def prepared(name: str, root: Path, *given: Path) -> Preparation:
    preparation = Preparation(small_source(name), root)
    assert preparation.run(given) == []
    return preparation
