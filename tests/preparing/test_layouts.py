"""From the published archives to CoOp's layout, for all fifteen data sets; ImageNet's validation images."""

from pathlib import Path

import pytest

from lamm.datasets import dataset_class
from lamm.errors import DataError
from lamm.preparing.prepare import WORK_FOLDER, Preparation
from lamm.preparing.survey import count_images
from tests.preparing.dataset_archives import (
    COUNTS,
    MAKERS,
    VAL_CLASSES,
    WNIDS,
    jpeg,
    prepared,
    small_source,
    tar,
    targz,
    write_archives,
    zipped,
)

# Images that the loaders list, in train + val and in test.
LOADED = {
    "caltech101": (6, 2),
    "oxford_pets": (6, 2),
    "stanford_cars": (6, 4),
    "oxford_flowers": (6, 2),
    "food101": (6, 2),
    "fgvc_aircraft": (3, 1),
    "sun397": (6, 2),
    "dtd": (6, 2),
    "eurosat": (6, 2),
    "ucf101": (6, 2),
    "imagenet": (4, 3),
    "imagenetv2": (6, 6),
    "imagenet_sketch": (4, 4),
    "imagenet_a": (4, 4),
    "imagenet_r": (4, 4),
}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its content."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", MAKERS)
def test_the_published_archives_become_a_data_set_that_loads(name: str, tmp_path: Path) -> None:
    archives = write_archives(name, tmp_path / "archives")
    preparation = prepared(name, tmp_path / "data", archives)
    assert preparation.survey.loads
    for part in preparation.source.image_parts:
        assert count_images(preparation.survey.place(part)) == COUNTS[name, part.target]
    split = dataset_class(name).split_on_disk(tmp_path / "data")
    assert (len(split.train) + len(split.val), len(split.test)) == LOADED[name]
    for item in split.items():
        found = dataset_class(name).__new__(dataset_class(name))
        found.locate(tmp_path / "data")
        assert Path(found.path_of(item.path)).is_file()


@pytest.mark.parametrize("name", MAKERS)
def test_archives_are_known_by_what_they_hold_and_not_by_their_names(name: str, tmp_path: Path) -> None:
    archives = write_archives(name, tmp_path / "archives")
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, file in enumerate(sorted(archives.iterdir())):
        is_single = file.suffix in (".mat", ".json")
        file.rename(renamed / (file.name if is_single else f"download{number}"))
    assert prepared(name, tmp_path / "data", renamed).survey.loads


def test_nothing_but_the_data_set_is_left(tmp_path: Path) -> None:
    prepared("dtd", tmp_path / "data", write_archives("dtd", tmp_path / "archives"))
    folder = tmp_path / "data" / "dtd"
    assert sorted(path.name for path in folder.iterdir()) == ["images", "imdb", "labels"]
    assert not list(folder.rglob(".directory"))


def test_aircraft_keeps_what_is_in_data(tmp_path: Path) -> None:
    prepared("fgvc_aircraft", tmp_path / "data", write_archives("fgvc_aircraft", tmp_path / "archives"))
    names = sorted(path.name for path in (tmp_path / "data" / "fgvc_aircraft").iterdir())
    lists = [f"images_variant_{part}.txt" for part in ("test", "train", "val")]
    assert names == ["families.txt", "images", *lists, "variants.txt"]


def test_a_second_run_finds_nothing_to_do(tmp_path: Path, log_lines: list[str]) -> None:
    archives = write_archives("eurosat", tmp_path / "archives")
    prepared("eurosat", tmp_path / "data", archives)
    before = tree(tmp_path / "data")
    log_lines.clear()
    prepared("eurosat", tmp_path / "data", archives)
    assert tree(tmp_path / "data") == before
    assert log_lines == ["EuroSAT.zip: not needed, all that it holds is there"]


def test_missing_files_join_a_folder_that_is_there(tmp_path: Path) -> None:
    archives = write_archives("eurosat", tmp_path / "archives")
    prepared("eurosat", tmp_path / "data", archives)
    whole = tree(tmp_path / "data")
    kept = tmp_path / "data" / "eurosat" / "2750" / "mine.txt"
    kept.write_text("mine")
    for name in ("AnnualCrop_1.jpg", "AnnualCrop_3.jpg"):
        (tmp_path / "data" / "eurosat" / "2750" / "AnnualCrop" / name).unlink()
    prepared("eurosat", tmp_path / "data", archives)
    assert tree(tmp_path / "data") == {**whole, "eurosat/2750/mine.txt": b"mine"}


def test_a_file_that_differs_from_the_archive_stops_the_run_and_stays(tmp_path: Path) -> None:
    archives = write_archives("eurosat", tmp_path / "archives")
    prepared("eurosat", tmp_path / "data", archives)
    folder = tmp_path / "data" / "eurosat" / "2750" / "Forest"
    (folder / "Forest_1.jpg").write_bytes(b"mine")
    (folder / "Forest_2.jpg").unlink()
    before = tree(tmp_path / "data")
    with pytest.raises(DataError, match=r"Forest_1\.jpg is there and differs .* nothing was changed"):
        Preparation(small_source("eurosat"), tmp_path / "data").run([archives])
    assert tree(tmp_path / "data") == before


def test_a_file_in_place_of_the_image_folder_stops_the_run(tmp_path: Path) -> None:
    archives = write_archives("eurosat", tmp_path / "archives")
    (tmp_path / "data" / "eurosat").mkdir(parents=True)
    (tmp_path / "data" / "eurosat" / "2750").write_text("mine")
    with pytest.raises(DataError, match="2750 is there and differs"):
        Preparation(small_source("eurosat"), tmp_path / "data").run([archives])
    assert tree(tmp_path / "data") == {"eurosat/2750": b"mine"}


def test_an_archive_with_too_few_images_is_not_laid_out(tmp_path: Path) -> None:
    file = tmp_path / "EuroSAT.zip"
    file.write_bytes(zipped({"2750/AnnualCrop/AnnualCrop_1.jpg": jpeg()}))
    with pytest.raises(DataError, match=r"EuroSAT\.zip: 2750 in it has 1 of at least 8 images"):
        Preparation(small_source("eurosat"), tmp_path / "data").run([file])
    assert tree(tmp_path / "data") == {}


def test_a_copy_with_further_folders_around_it_is_taken(tmp_path: Path) -> None:
    both = {f"archive/cars_train/cars_train/{number:05d}.jpg": jpeg(number) for number in range(1, 7)}
    both |= {f"archive/cars_test/cars_test/{number:05d}.jpg": jpeg(number) for number in range(1, 5)}
    file = tmp_path / "everything.zip"
    file.write_bytes(zipped(both))
    Preparation(small_source("stanford_cars"), tmp_path / "data").run([file])
    assert len(list((tmp_path / "data" / "stanford_cars" / "cars_train").glob("*.jpg"))) == 6
    assert len(list((tmp_path / "data" / "stanford_cars" / "cars_test").glob("*.jpg"))) == 4


def test_the_archive_of_another_data_set_is_named(tmp_path: Path) -> None:
    archives = write_archives("dtd", tmp_path / "archives")
    with pytest.raises(
        DataError,
        match=r"holds nothing of EuroSAT .*; it is of Describable Textures \(DTD\): lamm prepare-data dtd",
    ):
        Preparation(small_source("eurosat"), tmp_path / "data").run([archives / "dtd-r1.0.1.tar.gz"])
    assert not (tmp_path / "data" / "eurosat").exists()


def test_what_an_interrupted_run_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "data" / "eurosat" / WORK_FOLDER / "unpacked" / "2750" / "Forest"
    left.mkdir(parents=True)
    (left / "half.jpg").write_bytes(b"half")
    prepared("eurosat", tmp_path / "data", write_archives("eurosat", tmp_path / "archives"))
    assert sorted(path.name for path in (tmp_path / "data" / "eurosat").iterdir()) == ["2750"]
    assert not list((tmp_path / "data").rglob("half.jpg"))


def test_the_data_set_may_be_on_another_disk_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "eurosat").symlink_to(tmp_path / "elsewhere")
    prepared("eurosat", tmp_path / "data", write_archives("eurosat", tmp_path / "archives"))
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["2750"]


def test_class_names_are_openais_and_copied_for_variants(tmp_path: Path) -> None:
    prepared("imagenet_a", tmp_path / "data", write_archives("imagenet_a", tmp_path / "archives"))
    lines = (tmp_path / "data" / "imagenet-adversarial" / "classnames.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1000
    assert lines[:2] == ["n01440764 tench", "n01443537 goldfish"]
    (tmp_path / "data" / "imagenet").mkdir()
    mine = "".join(f"{wnid} name {number}\n" for number, wnid in enumerate(WNIDS))
    (tmp_path / "data" / "imagenet" / "classnames.txt").write_text(mine, encoding="utf-8")
    prepared("imagenet_r", tmp_path / "data", write_archives("imagenet_r", tmp_path / "archives"))
    assert (tmp_path / "data" / "imagenet-rendition" / "classnames.txt").read_text(encoding="utf-8") == mine


def test_the_split_file_is_known_by_its_name_and_kept_as_it_is(tmp_path: Path) -> None:
    given = tmp_path / "split_zhou_EuroSAT (1).json"
    given.write_text('{"train": [], "val": [], "test": []}', encoding="utf-8")
    prepared("eurosat", tmp_path / "data", given)
    assert tree(tmp_path / "data") == {"eurosat/split_zhou_EuroSAT.json": given.read_bytes()}


def test_a_truncated_part_of_several_archives_leaves_the_others_laid_out(tmp_path: Path) -> None:
    archives = write_archives("oxford_pets", tmp_path / "archives")
    images = archives / "images.tar.gz"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"images\.tar\.gz is damaged or cut off"):
        Preparation(small_source("oxford_pets"), tmp_path / "data").run([archives])
    assert sorted(path.name for path in (tmp_path / "data" / "oxford_pets").iterdir()) == ["annotations"]


def test_images_that_the_split_names_and_the_folder_lacks_are_noticed(tmp_path: Path) -> None:
    """The folder has images enough, but not those of the split."""
    archives = write_archives("eurosat", tmp_path / "archives")
    prepared("eurosat", tmp_path / "data", archives)
    folder = tmp_path / "data" / "eurosat"
    entry = '["Forest/Forest_1.jpg", 0, "Forest"]'
    (folder / "split_zhou_EuroSAT.json").write_text(f'{{"train": [{entry}], "val": [], "test": []}}', encoding="utf-8")
    (folder / "2750" / "Forest" / "Forest_1.jpg").rename(folder / "2750" / "Forest" / "Forest_9.jpg")
    preparation = Preparation(small_source("eurosat"), tmp_path / "data")
    lack = preparation.survey.lack(preparation.source.part("2750"))
    assert lack == 'lacks 1 of the images that split_zhou_EuroSAT.json names, such as "Forest/Forest_1.jpg"'
    prepared("eurosat", tmp_path / "data", archives)
    assert (folder / "2750" / "Forest" / "Forest_1.jpg").is_file()


def test_bzip2_and_xz_are_read_too(tmp_path: Path) -> None:
    files = {
        f"2750/{name}/{name}_{number}.jpg": jpeg(number) for name in ("AnnualCrop", "Forest") for number in range(1, 5)
    }
    for mode in ("w:bz2", "w:xz", "w:gz", "w"):
        file = tmp_path / f"packed{mode[2:]}"
        file.write_bytes(tar(files, mode))
        prepared("eurosat", tmp_path / f"data{mode[2:]}", file)


def test_targz_of_the_wrong_thing_is_told(tmp_path: Path) -> None:
    file = tmp_path / "EuroSAT.zip"
    file.write_bytes(targz({"notes/readme.txt": b"x"}))
    with pytest.raises(DataError, match=r"holds nothing of EuroSAT \(RGB\) \(2750/\)$"):
        Preparation(small_source("eurosat"), tmp_path / "data").run([file])


def val_tree(data: Path) -> list[str]:
    folder = data / "imagenet" / "images" / "val"
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*.JPEG"))


SORTED_VAL = sorted(f"{wnid}/ILSVRC2012_val_{number:08d}.JPEG" for number, wnid in enumerate(VAL_CLASSES, start=1))


def test_validation_images_are_sorted_by_the_devkit(tmp_path: Path) -> None:
    prepared("imagenet", tmp_path / "data", write_archives("imagenet", tmp_path / "archives"))
    assert val_tree(tmp_path / "data") == SORTED_VAL


def test_validation_images_without_the_devkit_are_not_laid_out(tmp_path: Path) -> None:
    archives = write_archives("imagenet", tmp_path / "archives")
    with pytest.raises(DataError, match=r"give ILSVRC2012_devkit_t12\.tar\.gz"):
        Preparation(small_source("imagenet"), tmp_path / "data").run([archives / "ILSVRC2012_img_val.tar"])
    assert not (tmp_path / "data" / "imagenet").exists()


def test_a_flat_validation_folder_that_is_there_is_sorted(tmp_path: Path) -> None:
    archives = write_archives("imagenet", tmp_path / "archives")
    flat = tmp_path / "data" / "imagenet" / "images" / "val"
    flat.mkdir(parents=True)
    for number in range(1, 4):
        (flat / f"ILSVRC2012_val_{number:08d}.JPEG").write_bytes(jpeg(number))
    preparation = Preparation(small_source("imagenet"), tmp_path / "data")
    (failure,) = preparation.run()
    assert "ILSVRC2012_devkit_t12.tar.gz" in failure
    assert prepared("imagenet", tmp_path / "data", archives / "ILSVRC2012_devkit_t12.tar.gz")
    assert val_tree(tmp_path / "data") == SORTED_VAL


def test_a_half_sorted_validation_folder_is_sorted_to_the_end(tmp_path: Path) -> None:
    archives = write_archives("imagenet", tmp_path / "archives")
    folder = tmp_path / "data" / "imagenet" / "images" / "val"
    (folder / VAL_CLASSES[0]).mkdir(parents=True)
    (folder / VAL_CLASSES[0] / "ILSVRC2012_val_00000001.JPEG").write_bytes(jpeg(1))
    (folder / "ILSVRC2012_val_00000002.JPEG").write_bytes(jpeg(2))
    prepared("imagenet", tmp_path / "data", archives)
    assert val_tree(tmp_path / "data") == SORTED_VAL


def test_kaggles_archive_of_imagenet(tmp_path: Path) -> None:
    top = "ILSVRC/Data/CLS-LOC"
    files = {f"{top}/train/{wnid}/{wnid}_{number}.JPEG": jpeg(number) for wnid in WNIDS[:2] for number in (1, 2)}
    files |= {f"{top}/val/ILSVRC2012_val_{number:08d}.JPEG": jpeg(number) for number in (1, 2, 3)}
    files |= {f"{top}/test/ILSVRC2012_test_00000001.JPEG": jpeg()}
    solution = "".join(
        f"ILSVRC2012_val_{number:08d},{wnid} 85 1 499 272 \n" for number, wnid in enumerate(VAL_CLASSES, start=1)
    )
    files |= {"LOC_val_solution.csv": f"ImageId,PredictionString\n{solution}".encode()}
    file = tmp_path / "imagenet-object-localization-challenge.zip"
    file.write_bytes(zipped(files))
    preparation = prepared("imagenet", tmp_path / "data", file)
    assert val_tree(tmp_path / "data") == SORTED_VAL
    assert preparation.survey.loads


def test_class_names_that_lead_elsewhere_make_no_folder(tmp_path: Path) -> None:
    solution = b"ImageId,PredictionString\nILSVRC2012_val_00000001,../../evil 1 2 3 4\n"
    (tmp_path / "LOC_val_solution.csv").write_bytes(solution)
    val = tmp_path / "val.tar"
    val.write_bytes(tar({"ILSVRC2012_val_00000001.JPEG": jpeg()}))
    with pytest.raises(DataError, match="which is not a WordNet id"):
        Preparation(small_source("imagenet"), tmp_path / "data").run([tmp_path / "LOC_val_solution.csv", val])
    assert not list(tmp_path.rglob("evil"))
