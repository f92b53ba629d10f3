"""Samplers, loaders, batches and the summary of a run's data."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from torchvision import transforms as T

from lamm.engine.embedded import data_manager, decoding
from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.dassl_utils import set_random_seed
from lamm.engine.embedded.data_manager import (
    DataManager,
    DatasetWrapper,
    RandomDomainSampler,
    SeqDomainSampler,
    build_data_loader,
    build_sampler,
)
from lamm.engine.embedded.datum import DatasetBase, Datum
from lamm.engine.embedded.pipeline import Pipeline
from lamm.engine.embedded.registry import DATASET_REGISTRY
from lamm.errors import LammError
from lamm.images import read_image


@pytest.fixture
def items(tmp_path):
    """Builds images of one grey each (their number), labelled 0, 1, 2, 0, 1, 2, …"""

    def build(count: int) -> list[Datum]:
        made = []
        for number in range(count):
            path = tmp_path / f"{number}.png"
            Image.new("RGB", (12, 10), (number,) * 3).save(path)
            made.append(Datum(str(path), number % 3, 0, f"class {number % 3}"))
        return made

    return build


@pytest.fixture
def cfg():
    made = get_cfg_default()
    made.INPUT.SIZE = (8, 8)
    made.DATALOADER.NUM_WORKERS = 0
    made.DATALOADER.TRAIN_X.BATCH_SIZE = 4
    made.DATALOADER.TEST.BATCH_SIZE = 4
    made.DATASET.NAME = "Greys"
    return made


@pytest.fixture
def greys(items, monkeypatch):
    """Registers a data set whose splits have these sizes."""
    monkeypatch.setattr(DATASET_REGISTRY, "_objects", {})

    def register(**sizes: int) -> None:
        class Greys(DatasetBase):
            def __init__(self, cfg):
                super().__init__(**{split: items(size) for split, size in sizes.items()})

        DATASET_REGISTRY.register(Greys)

    return register


def numbers(loader) -> list[list[int]]:
    return [batch["index"].tolist() for batch in loader]


def test_training_drops_the_last_small_batch_and_test_keeps_it(cfg, greys):
    greys(train_x=10, val=6, test=9)
    manager = DataManager(cfg)
    assert [len(batch) for batch in numbers(manager.train_loader_x)] == [4, 4]
    assert numbers(manager.val_loader) == [[0, 1, 2, 3], [4, 5]]
    assert numbers(manager.test_loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_training_set_smaller_than_a_batch_gives_one_short_batch(cfg, greys):
    greys(train_x=3, test=1)
    assert [sorted(batch) for batch in numbers(DataManager(cfg).train_loader_x)] == [[0, 1, 2]]


def test_batch_has_dassls_keys_and_types(cfg, greys):
    greys(train_x=4, test=4)
    batch = next(iter(DataManager(cfg).test_loader))
    assert set(batch) == {"img", "label", "domain", "index", "impath"}
    assert batch["img"].shape == (4, 3, 8, 8)
    assert batch["img"].dtype == torch.float32
    for key in ("label", "domain", "index"):
        assert batch[key].dtype == torch.int64
    assert batch["label"].tolist() == [0, 1, 2, 0]
    assert [path.rpartition("/")[2] for path in batch["impath"]] == ["0.png", "1.png", "2.png", "3.png"]


def test_order_is_that_of_a_plain_torch_loader_under_the_same_seed(cfg, greys):
    greys(train_x=10, test=1)
    manager = DataManager(cfg)
    torch.manual_seed(1)
    ours = [numbers(manager.train_loader_x) for _ in range(2)]
    plain = DataLoader(range(10), batch_size=4, sampler=RandomSampler(range(10)), drop_last=True)
    torch.manual_seed(1)
    assert ours == [[batch.tolist() for batch in plain] for _ in range(2)]


def test_absent_splits_have_no_loader(cfg, greys):
    greys(train_x=4, val=0, test=4)
    manager = DataManager(cfg)
    assert manager.train_loader_u is None
    assert manager.val_loader is None


def test_unlabelled_images_follow_train_x_unless_told_otherwise(cfg, greys):
    greys(train_x=4, train_u=6, test=4)
    cfg.DATALOADER.TRAIN_U.BATCH_SIZE = 2
    assert DataManager(cfg).train_loader_u.batch_size == 4
    cfg.DATALOADER.TRAIN_U.SAME_AS_X = False
    assert DataManager(cfg).train_loader_u.batch_size == 2


def test_attributes_of_the_manager(cfg, greys):
    greys(train_x=4, test=4)
    cfg.DATASET.SOURCE_DOMAINS = ("photo", "art")
    manager = DataManager(cfg)
    assert manager.num_classes == 3
    assert manager.num_source_domains == 2
    assert manager.lab2cname == {0: "class 0", 1: "class 1", 2: "class 2"}
    assert isinstance(manager.dataset, DatasetBase)


def test_printed_lines_end_with_the_summary_table(cfg, greys, capsys):
    greys(train_x=5, train_u=2, val=3, test=4)
    cfg.DATASET.SOURCE_DOMAINS = ("photo",)
    DataManager(cfg)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Loading dataset: Greys"
    assert printed[1] == "Building transform_train"
    rows = ["Dataset", "Source", "# classes", "# train_x", "# train_u", "# val", "# test"]
    assert [line.split("  ")[0] for line in printed[-8:-1]] == rows


def test_quiet_runs_print_neither_name_nor_table(cfg, greys, capsys):
    greys(train_x=4, test=4)
    cfg.VERBOSE = False
    DataManager(cfg)
    printed = capsys.readouterr().out
    assert "Loading dataset" not in printed
    assert "# classes" not in printed


def test_custom_transforms_take_the_place_of_the_configured(cfg, greys, capsys):
    greys(train_x=4, val=4, test=4)
    black = T.Compose([T.ToTensor(), torch.zeros_like])
    manager = DataManager(cfg, custom_tfm_train=black, custom_tfm_test=T.ToTensor())
    printed = capsys.readouterr().out
    assert "* Using custom transform for training\n* Using custom transform for testing\n" in printed
    assert next(iter(manager.train_loader_x))["img"].sum() == 0
    assert next(iter(manager.val_loader))["img"].shape[-2:] == (10, 12)


def test_custom_wrapper_takes_the_place_of_ours(cfg, greys):
    class Wrapper(DatasetWrapper):
        pass

    greys(train_x=4, test=4)
    manager = DataManager(cfg, dataset_wrapper=Wrapper)
    assert type(manager.train_loader_x.dataset) is type(manager.test_loader.dataset) is Wrapper


def test_several_transforms_give_numbered_images(cfg, items):
    loader = build_data_loader(cfg, data_source=items(2), batch_size=2, tfm=[T.ToTensor(), T.ToTensor()])
    batch = next(iter(loader))
    assert torch.equal(batch["img"], batch["img2"])


def test_k_transforms_gives_k_views_in_training_only(cfg, greys):
    greys(train_x=4, test=4)
    cfg.DATALOADER.K_TRANSFORMS = 3
    manager = DataManager(cfg)
    views = next(iter(manager.train_loader_x))["img"]
    assert [tuple(view.shape) for view in views] == [(4, 3, 8, 8)] * 3
    assert next(iter(manager.test_loader))["img"].shape == (4, 3, 8, 8)


def test_k_transforms_without_a_transform_is_a_value_error(cfg, items):
    cfg.DATALOADER.K_TRANSFORMS = 2
    with pytest.raises(ValueError, match="K_TRANSFORMS is 2"):
        DatasetWrapper(cfg, items(1), is_train=True)


@pytest.mark.parametrize("names", [(), ("random_flip", "normalize")])
def test_img0_is_the_plain_image(cfg, greys, names):
    greys(train_x=4, test=4)
    cfg.INPUT.TRANSFORMS = names
    cfg.DATALOADER.RETURN_IMG0 = True
    batch = next(iter(DataManager(cfg).test_loader))
    expected = torch.tensor([0.0, 1, 2, 3]) / 255
    if names:
        expected = (expected[:, None] - torch.tensor(cfg.INPUT.PIXEL_MEAN)) / torch.tensor(cfg.INPUT.PIXEL_STD)
    else:
        expected = expected[:, None].expand(4, 3)
    torch.testing.assert_close(batch["img0"], expected[:, :, None, None].expand(4, 3, 8, 8))


def test_no_transform_gives_pil_images(cfg, items):
    assert isinstance(DatasetWrapper(cfg, items(1))[0]["img"], Image.Image)


def test_any_number_of_worker_processes_loads_the_same_batches(cfg, greys):
    greys(train_x=9, val=3, test=5)
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "gaussian_noise", "cutout", "colorjitter")
    cfg.INPUT.CUTOUT_LEN = 3
    cfg.DATALOADER.K_TRANSFORMS = 2
    cfg.TEST.FINAL_MODEL = "best_val"

    def epochs(workers):
        cfg.DATALOADER.NUM_WORKERS = workers
        set_random_seed(4)
        manager = DataManager(cfg)
        passes = []
        for _ in range(2):
            passes += [*manager.train_loader_x, *manager.val_loader]
        return [*passes, *manager.test_loader], torch.rand(()), random.random()

    alone, *generators = epochs(0)
    for workers in (1, 2):
        batches, *after = epochs(workers)
        assert after == generators
        for ours, theirs in zip(batches, alone, strict=True):
            assert torch.equal(ours["index"], theirs["index"])
            assert all(map(torch.equal, ours["img"], theirs["img"]))


def test_sized_workers_are_none_for_tiny_images(cfg, greys):
    greys(train_x=4, test=4)
    cfg.DATALOADER.NUM_WORKERS = -1
    assert DataManager(cfg).train_loader_x.num_workers == 0
    cfg.INPUT.SIZE = (224, 224)
    assert DataManager(cfg).train_loader_x.num_workers == 1


@pytest.mark.parametrize(("room", "is_train", "read_again"), [(64e6, True, 0), (2.5 * 480, True, 6), (64e6, False, 8)])
def test_decoded_training_images_are_kept_if_they_fit(cfg, items, monkeypatch, room, is_train, read_again):
    """Images of 12 x 10 pixels, 480 bytes; two of the eight fit a room of 1,200."""
    read = []
    monkeypatch.setattr(data_manager, "CACHE_BYTES", room)
    monkeypatch.setattr(decoding, "read_image", lambda path, upright: read.append(path) or read_image(path, upright))
    wrapper = DatasetWrapper(cfg, items(8), Pipeline([T.ToTensor()]), is_train=is_train)
    first = [wrapper[index]["img"] for index in range(8)]
    assert len(read) == 8
    second = [wrapper[index]["img"] for index in range(8)]
    assert len(read) == 8 + read_again
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_a_foreign_transform_gets_a_new_image_each_time(cfg, items):
    def drawing(image: Image.Image) -> torch.Tensor:
        image.putpixel((0, 0), (image.getpixel((0, 0))[0] + 10,) * 3)
        return T.functional.to_tensor(image)

    wrapper = DatasetWrapper(cfg, items(1), drawing, is_train=True)
    assert torch.equal(wrapper[0]["img"], wrapper[0]["img"])


def test_image_broken_after_the_listing_is_one_line_from_a_worker(cfg, greys, tmp_path):
    greys(train_x=4, test=4)
    cfg.DATALOADER.NUM_WORKERS = 1
    loader = DataManager(cfg).test_loader
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(LammError, match=r'^image file ".*2\.png" is not an image, or is damaged; replace it$'):
        next(iter(loader))


@pytest.mark.parametrize("sizes", [{"train_x": 4, "test": 0}, {"train_x": 4}])
def test_empty_test_split_is_an_assertion_error_and_a_user_error(cfg, greys, sizes):
    greys(**sizes)
    with pytest.raises(AssertionError, match="no image to load") as error:
        DataManager(cfg)
    assert isinstance(error.value, LammError)


def test_unknown_data_set_suggests_the_nearest(cfg, greys):
    greys(train_x=4, test=4)
    cfg.DATASET.NAME = "Greyz"
    with pytest.raises(ValueError, match=r"but got \[Greyz\] \(do you mean \[Greys\]\?\)"):
        DataManager(cfg)


def in_domains(*counts):
    return [SimpleNamespace(domain=domain) for domain, count in enumerate(counts) for _ in range(count)]


def test_plain_samplers_are_torchs_without_a_generator():
    sampler = build_sampler("RandomSampler", data_source=range(5))
    assert (type(sampler), sampler.generator) == (RandomSampler, None)
    sampler = build_sampler("SequentialSampler", data_source=range(3))
    assert (type(sampler), list(sampler)) == (SequentialSampler, [0, 1, 2])
    with pytest.raises(ValueError, match=r"^Unknown sampler type: Shuffle;") as error:
        build_sampler("Shuffle", data_source=range(3))
    assert isinstance(error.value, LammError)


def test_a_batch_has_equally_many_images_of_some_domains_or_of_all_in_order():
    data = in_domains(7, 9, 4, 6)
    sampler = build_sampler("RandomDomainSampler", data_source=data, batch_size=4, n_domain=2)
    order = list(sampler)
    assert len(order) == len(set(order)) == len(sampler) == len(list(sampler)) == 24
    for start in range(0, 24, 4):
        assert set(Counter(data[position].domain for position in order[start : start + 4]).values()) == {2}
    order = list(build_sampler("SeqDomainSampler", data_source=data, batch_size=4))
    assert [data[position].domain for position in order] == [0, 1, 2, 3] * 4
    assert len(set(order)) == len(SeqDomainSampler(data, 4)) == 16


@pytest.mark.parametrize(("batch_size", "n_domain"), [(6, 4), (5, 2)])
def test_domains_that_can_t_share_a_batch_evenly_are_refused(batch_size, n_domain):
    with pytest.raises(ValueError, match="N_DOMAIN"):
        RandomDomainSampler(in_domains(9, 9, 9), batch_size, n_domain)


@pytest.mark.parametrize("images", [10, 8, 3])
def test_images_that_do_not_fill_a_batch_are_told(cfg, greys, capsys, images):
    greys(train_x=images, test=10)
    DataManager(cfg)
    said = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    line = "2 of 10 training images are left out of each epoch: 4 make a batch"
    assert said == ([line] if images == 10 else [])


def test_a_batch_of_any_size_holds_what_there_is(cfg, greys):
    greys(train_x=3, test=3)
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = cfg.DATALOADER.TEST.BATCH_SIZE = 10**30
    manager = DataManager(cfg)
    assert [len(next(iter(loader))["label"]) for loader in (manager.train_loader_x, manager.test_loader)] == [3, 3]
