"""How many processes load images where the config leaves it to us."""

from types import SimpleNamespace

import pytest
from PIL import Image

from lamm.engine.embedded import worker_count as module
from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.worker_count import usable_cores, worker_count


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of 6 cores with 4 GB of shared memory; `machine(cores, megabytes)` makes another."""

    def make(cores=6, megabytes=4096):
        monkeypatch.setattr(module, "usable_cores", lambda: cores)
        monkeypatch.setattr(module.os.path, "isdir", lambda path: True)
        monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=megabytes * 2**20))

    make()
    return make


@pytest.fixture
def images(tmp_path):
    """Builds so many images of a size."""

    def build(count, size=(120, 100)):
        Image.new("RGB", size).save(tmp_path / "a.png")
        return [Datum(str(tmp_path / "a.png"))] * count

    return build


def count(images, workers=-1, batch_size=32, **options):
    cfg = get_cfg_default()
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.INPUT.update(options)
    return worker_count(cfg, images, batch_size)


@pytest.mark.parametrize("workers", [0, 1, 13])
def test_a_number_is_taken_as_it_is(images, workers):
    assert count(images(3, (8, 8)), workers, SIZE=(32, 32)) == workers


def test_photos_get_a_worker_a_core_but_eight_at_most_and_no_more_than_batches(images, machine):
    assert count(images(320)) == 6
    assert count(images(70)) == 3
    assert count(images(3)) == 1
    machine(cores=64)
    assert count(images(3200)) == 8


def test_tiny_images_are_loaded_where_they_are_used(images):
    assert count(images(320, (32, 32)), SIZE=(32, 32)) == 0
    assert count(images(320, (32, 32)), SIZE=(224, 224)) == 6
    assert count(images(320, (640, 480)), SIZE=(32, 32)) == 6


def test_an_image_that_can_t_be_opened_counts_as_a_photo(images, tmp_path):
    listed = images(320)
    (tmp_path / "a.png").write_text("no image")
    assert count(listed, SIZE=(32, 32)) == 6


def test_little_shared_memory_means_few_workers_and_a_line_if_none(images, machine, capsys):
    batch = 32 * 3 * 224 * 224 * 4 / 2**20  # 18 MB, of which a worker holds three
    machine(megabytes=int(7 * batch))
    assert count(images(320)) == 2
    assert capsys.readouterr().out == ""
    machine(megabytes=50)
    assert count(images(320)) == 0
    assert "/dev/shm has 50 MB left, too little for workers" in capsys.readouterr().out


def test_usable_cores_are_those_of_the_process():
    assert 1 <= usable_cores() <= len(module.os.sched_getaffinity(0))
