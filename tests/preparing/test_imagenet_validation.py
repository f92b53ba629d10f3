"""ImageNet's validation images, which come without class folders."""

from pathlib import Path

import pytest

from lamm.errors import DataError
from lamm.preparing.prepare import Preparation
from tests.preparing.dataset_archives import VAL_CLASSES, WNIDS, jpeg, tar, write_archives, zipped
from tests.preparing.small_sources import prepared, small_source


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
