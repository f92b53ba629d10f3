"""Which of the given files are taken, what is said of the others; the work folder, and folders that are complete."""

import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lamm.datasets import dataset_class
from lamm.datasets.sources import Source
from lamm.errors import DataError
from lamm.preparing.parts import files_for, single_part
from lamm.preparing.prepare import DOWNLOADS, UNPACKED, WORK_FOLDER, Preparation, work_folder
from tests.datasets.miniature_trees import MINIATURES, build_miniature
from tests.preparing.dataset_archives import MAKERS, fitting_source, small_source, tar, targz, write_archives, zipped

DTD_SPLIT_SIZE = 563702


def names(files: list[Path]) -> list[str]:
    return sorted(file.name for file in files)


def test_of_a_folder_only_what_is_of_the_data_set_is_taken(tmp_path: Path) -> None:
    for name in ("dtd", "eurosat", "imagenet_a"):
        write_archives(name, tmp_path)
    (tmp_path / "holiday.tar").write_bytes(tar({"images/me.jpg": b"x"}))
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    (tmp_path / "split_zhou_EuroSAT.json").write_text("{}", encoding="utf-8")
    assert names(files_for(small_source("eurosat"), [tmp_path])) == ["EuroSAT.zip", "split_zhou_EuroSAT.json"]
    assert names(files_for(small_source("dtd"), [tmp_path])) == ["dtd-r1.0.1.tar.gz"]


def test_an_archive_that_may_be_of_the_data_set_is_told_and_not_taken(tmp_path: Path, log_lines: list[str]) -> None:
    write_archives("dtd", tmp_path)
    (tmp_path / "holiday.tar").write_bytes(tar({"images/me.jpg": b"x"}))
    assert names(files_for(small_source("dtd"), [tmp_path])) == ["dtd-r1.0.1.tar.gz"]
    assert log_lines == ["holiday.tar may hold files of Describable Textures (DTD): to take it, name it after --from"]


def test_the_smallest_come_first_so_that_what_sorts_images_is_there_before_them(tmp_path: Path) -> None:
    write_archives("imagenet", tmp_path)
    files = files_for(small_source("imagenet"), [tmp_path])
    assert [file.stat().st_size for file in files] == sorted(file.stat().st_size for file in files)


def test_a_file_named_twice_is_taken_once(tmp_path: Path) -> None:
    archives = write_archives("eurosat", tmp_path)
    assert names(files_for(small_source("eurosat"), [archives, archives / "EuroSAT.zip"])) == ["EuroSAT.zip"]


def test_a_folder_without_anything_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds no file of EuroSAT \(RGB\); it is published as EuroSAT\.zip, split_zhou"
    ):
        files_for(small_source("eurosat"), [tmp_path])


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file at .*gone\.zip"):
        files_for(small_source("eurosat"), [tmp_path / "gone.zip"])


def test_a_web_page_in_place_of_the_split_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.json"
    page.write_text("<!DOCTYPE html><title>Google Drive - Virus scan warning</title>", encoding="utf-8")
    with pytest.raises(DataError, match="is a web page"):
        single_part(page, small_source("eurosat"))


def test_a_file_of_no_use_says_which_files_are(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("a,b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"nor a file of Oxford Flowers 102 \(split_zhou_.*imagelabels\.mat, cat"):
        single_part(file, small_source("oxford_flowers"))


def with_known_split(content: bytes) -> Source:
    source = small_source("eurosat")
    parts = [
        replace(part, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        if part.target == "split_zhou_EuroSAT.json"
        else part
        for part in source.parts
    ]
    return replace(source, parts=tuple(parts))


def test_a_renamed_split_file_is_known_by_its_content(tmp_path: Path) -> None:
    content = b'{"train": [], "val": [], "test": []}'
    (tmp_path / "download").write_bytes(content)
    assert single_part(tmp_path / "download", with_known_split(content)).target == "split_zhou_EuroSAT.json"


def test_a_split_file_with_other_content_than_the_published_one_is_not_laid_out(tmp_path: Path) -> None:
    source = with_known_split(b'{"train": [], "val": [], "test": []}')
    (tmp_path / "split_zhou_EuroSAT.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="has 2 bytes, the published file has 36"):
        Preparation(source, tmp_path / "data").run([tmp_path / "split_zhou_EuroSAT.json"])
    assert not (tmp_path / "data" / "eurosat").exists()


def test_the_md5_sum_of_a_given_archive_is_compared(tmp_path: Path) -> None:
    archives = write_archives("eurosat", tmp_path / "archives")
    source = small_source("eurosat")
    first, *others = source.files
    source = replace(source, files=(replace(first, md5="0" * 32), *others))
    with pytest.raises(DataError, match=r"is not the published file \(its MD5 sum is not 0000.*--any-md5"):
        Preparation(source, tmp_path / "data").run([archives])
    preparation = Preparation(source, tmp_path / "data", any_md5=True)
    preparation.run([archives])
    assert preparation.survey.loads


def test_what_is_there_is_not_unpacked_again(tmp_path: Path, log_lines: list[str]) -> None:
    archives = write_archives("eurosat", tmp_path / "archives")
    Preparation(small_source("eurosat"), tmp_path / "data").run([archives])
    log_lines.clear()
    renamed = archives / "again.zip"
    renamed.write_bytes(zipped({"2750/Forest/other.jpg": b"x"}))
    Preparation(small_source("eurosat"), tmp_path / "data").run([archives / "again.zip"])
    assert log_lines == ["again.zip: not needed, all that it holds is there"]
    assert not (tmp_path / "data" / "eurosat" / "2750" / "Forest" / "other.jpg").exists()


def test_an_archive_of_all_archives_is_opened(tmp_path: Path) -> None:
    (tmp_path / "all.tar").write_bytes(
        tar({f"pets/{name}": content for name, content in MAKERS["oxford_pets"]().items()})
    )
    preparation = Preparation(small_source("oxford_pets"), tmp_path / "data")
    preparation.run([tmp_path / "all.tar"])
    assert preparation.survey.loads
    assert targz({}) != b""


HOLDING = """
import sys, time
from pathlib import Path
from lamm.preparing.prepare import work_folder
with work_folder(Path(sys.argv[1])) as work:
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_it_is_gone_afterwards_and_so_is_an_empty_data_set_folder(tmp_path: Path) -> None:
    with work_folder(tmp_path / "data" / "toy") as work:
        assert (work / UNPACKED).is_dir()
    assert list((tmp_path / "data").iterdir()) == []


def test_it_is_gone_after_an_error_too(tmp_path: Path) -> None:
    def stopped() -> None:
        with work_folder(tmp_path / "toy") as work:
            (work / UNPACKED / "half").write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not (tmp_path / "toy").exists()


def test_half_a_download_is_kept(tmp_path: Path) -> None:
    with work_folder(tmp_path / "toy") as work:
        (work / DOWNLOADS / "a.zip.part").write_text("half", encoding="utf-8")
    assert (tmp_path / "toy" / WORK_FOLDER / DOWNLOADS / "a.zip.part").exists()


def test_a_second_process_waits_for_the_first(tmp_path: Path, log_lines: list[str]) -> None:
    line = [sys.executable, "-c", HOLDING, str(tmp_path / "toy"), "1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        started = time.monotonic()
        with work_folder(tmp_path / "toy"):
            assert time.monotonic() - started > 0.5
    assert log_lines == [f"another run is preparing {tmp_path / 'toy'}: waiting until it has ended"]
    assert not (tmp_path / "toy").exists()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    line = [sys.executable, "-c", HOLDING, str(tmp_path / "toy"), "60"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    assert (tmp_path / "toy" / WORK_FOLDER).is_dir()
    with work_folder(tmp_path / "toy"):
        pass
    assert not (tmp_path / "toy").exists()


def test_runs_at_the_same_time_end_with_one_whole_data_set(tmp_path: Path) -> None:
    archives = write_archives("eurosat", tmp_path / "archives")
    preparations = [Preparation(small_source("eurosat"), tmp_path / "data") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda preparation: preparation.run([archives]), preparations)) == [[]] * 6
    assert sorted(path.name for path in (tmp_path / "data" / "eurosat").iterdir()) == ["2750"]
    assert len(list((tmp_path / "data").rglob("*.jpg"))) == 8


@pytest.mark.parametrize("name", MINIATURES)
def test_a_packed_folder_in_the_benchmarks_layout_is_taken(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path / "there")
    files = {
        str(file.relative_to(tmp_path / "there")): file.read_bytes()
        for file in sorted(truth.folder.rglob("*"))
        if file.is_file()
    }
    (tmp_path / "packed.tar.gz").write_bytes(tar(files, "w:gz"))
    preparation = Preparation(fitting_source(name, tmp_path / "there"), tmp_path / "here")
    assert preparation.run([tmp_path / "packed.tar.gz"]) == []
    assert preparation.survey.loads
    split = dataset_class(name).split_on_disk(tmp_path / "here")
    assert {item.path: item.label for item in split.items()} == truth.label_of
    assert [len(split.train), len(split.val), len(split.test)] == list(truth.sizes)
