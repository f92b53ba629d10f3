"""The work folder, and folders that are complete already."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lamm.datasets import dataset_class
from lamm.preparing.prepare import DOWNLOADS, UNPACKED, WORK_FOLDER, Preparation, work_folder
from tests.datasets.miniature_trees import MINIATURES, build_miniature
from tests.preparing.dataset_archives import tar, write_archives
from tests.preparing.small_sources import fitting_source, small_source

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
