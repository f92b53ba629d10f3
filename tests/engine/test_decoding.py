"""Reading images, exactly as Pillow does and fast (`INPUT.DECODING`): pixels, crops, and one-line errors."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.utils.data import DataLoader

from lamm.benchmark.decoding import write_photos
from lamm.engine.embedded import decoding as photo_module
from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.data_manager import DatasetWrapper
from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.decoding import ImageError, ImageFile, Photo, read_image
from lamm.engine.embedded.transforms import build_transform
from lamm.errors import ConfigError, DataError

CROP, PLAIN = ("random_resized_crop", "random_flip", "normalize"), ("random_flip", "normalize")
SMALL, TALL, LARGE, EVEN = (260, 190), (333, 500), (1501, 1002), (1600, 1000)
LEVEL = 1 / 255


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> dict[tuple[int, int], str]:
    """A photo of each size."""
    folder = tmp_path_factory.mktemp("photos")
    return {size: str(write_photos(folder, size, 1)[0]) for size in (SMALL, TALL, LARGE, EVEN)}


def config(decoding="fast", names=CROP, size=(64, 64), **options):
    cfg = get_cfg_default()
    cfg.INPUT.update({"DECODING": decoding, "TRANSFORMS": names, "SIZE": size, "INTERPOLATION": "bicubic", **options})
    cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = [0.0] * 3, [1.0] * 3  # so that results are in [0, 1]
    return cfg


def result(path, decoding, seed=0, is_train=True, **options):
    transform = build_transform(config(decoding, **options), is_train)
    torch.manual_seed(seed)
    return transform(ImageFile(path).opened_for(transform))


def both(path, **options):
    return result(path, "fast", **options), result(path, "exact", **options)


@pytest.mark.parametrize(
    ("size", "names"), [(SMALL, CROP), (TALL, PLAIN), (LARGE, CROP), (EVEN, PLAIN), (LARGE, PLAIN)]
)
def test_training_images_are_the_exact_ones_within_a_level_on_average(photos, size, names):
    for seed in range(5):
        fast, exact = both(photos[size], names=names, seed=seed)
        assert fast.shape == exact.shape == (3, 64, 64)
        assert (fast - exact).abs().mean() < 0.5 * LEVEL


@pytest.mark.parametrize(
    ("size", "wanted"),
    [(SMALL, (64, 64)), (TALL, (48, 80)), (LARGE, (224, 224)), (LARGE, (48, 80)), (EVEN, (64, 64)), (EVEN, (224, 224))],
)
def test_test_images_are_the_exact_ones_within_a_level_on_average(photos, size, wanted):
    fast, exact = both(photos[size], size=wanted, is_train=False)
    assert fast.shape == exact.shape == (3, *wanted)
    assert (fast - exact).abs().mean() < 0.5 * LEVEL
    assert (fast - exact).abs().max() < 8 * LEVEL


def test_the_generator_is_left_where_the_exact_pipeline_leaves_it(photos):
    result(photos[LARGE], "fast")
    after = torch.get_rng_state()
    result(photos[LARGE], "exact")
    assert torch.equal(torch.get_rng_state(), after)


def test_steps_on_pil_images_get_one(photos):
    names = (*CROP, "colorjitter", "randaugment", "gaussian_blur")
    fast, exact = both(photos[TALL], names=names, GB_K=3)
    assert (fast - exact).abs().mean() < 4 * LEVEL
    fast, exact = both(photos[TALL], names=("random_flip",))  # and so does torchvision's own conversion
    assert (fast - exact).abs().mean() < 0.5 * LEVEL


def test_a_pil_image_is_taken_as_well(photos):
    transform = build_transform(config(), is_train=False)
    grey = read_image(photos[SMALL]).convert("L")
    expected = build_transform(config("exact"), is_train=False)(grey.convert("RGB"))
    assert (transform(grey) - expected).abs().mean() < 0.5 * LEVEL


@pytest.mark.parametrize("kind", ["L JPEG", "CMYK JPEG", "RGBA PNG", "RGB MPO"])
def test_every_kind_of_file_has_the_pixels_that_pillow_decodes(photos, tmp_path, kind):
    mode, form = kind.split()
    image = read_image(photos[SMALL]).convert(mode)
    more = {"append_images": [image], "save_all": True} if form == "MPO" else {}
    image.save(tmp_path / "a", format=form, **more)
    expected = np.array(read_image(str(tmp_path / "a"))).astype(int)
    pixels = Photo(str(tmp_path / "a")).pixels.permute(1, 2, 0).numpy()
    assert np.abs(pixels - expected).max() <= 1  # a decoder may round otherwise


def test_a_large_photo_is_decoded_smaller_if_pixels_are_left_over(photos):
    large = Photo(photos[LARGE])
    assert large.size == LARGE
    assert [large.shrink_for(LARGE, (edge, edge)) for edge in (512, 251, 250, 63, 62, 8)] == [1, 1, 2, 4, 8, 8]
    assert large.shrunk(4).size == (376, 251)
    assert Photo(photos[TALL]).shrink_for(TALL, (8, 8)) == 1


def test_a_file_that_is_no_jpeg_is_never_decoded_smaller(photos, tmp_path):
    read_image(photos[LARGE]).save(tmp_path / "a.png")
    assert Photo(str(tmp_path / "a.png")).shrink_for(LARGE, (8, 8)) == 1


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("size", [SMALL, LARGE, EVEN])
def test_a_photo_is_turned_before_it_is_cropped_however_it_is_decoded(photos, tmp_path, size, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    read_image(photos[size]).save(tmp_path / "a.jpg", quality=95, exif=exif)
    for is_train in (True, False):
        results = []
        for decoding in ("fast", "exact"):
            transform = build_transform(config(decoding), is_train)
            torch.manual_seed(0)
            results.append(transform(ImageFile(str(tmp_path / "a.jpg"), upright=True).opened_for(transform)))
        assert (results[0] - results[1]).abs().mean() < 0.5 * LEVEL
    upright = Photo(str(tmp_path / "a.jpg"), upright=True)
    assert upright.size == (size if orientation == 3 else size[::-1])
    assert (upright.shrink_for(upright.size, (16, 16)) > 1) == (size == EVEN)  # LARGE can't be divided


def test_own_images_are_turned_and_those_of_a_benchmark_are_not(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    sizes = {}
    for name, chosen in [
        ("ImageFolder", "auto"),
        ("Csv", "auto"),
        ("Caltech101", "auto"),
        ("ImageFolder", "ignore"),
        ("Caltech101", "apply"),
    ]:
        cfg = get_cfg_default()
        cfg.DATASET.NAME, cfg.INPUT.EXIF = name, chosen
        sizes[name, chosen] = DatasetWrapper(cfg, [Datum(str(tmp_path / "a.jpg"))])[0]["img"].size
    turned = [key for key, size in sizes.items() if size == (30, 40)]
    assert turned == [("ImageFolder", "auto"), ("Csv", "auto"), ("Caltech101", "apply")]
    cfg.INPUT.EXIF = "on"
    with pytest.raises(ConfigError, match=r"INPUT\.EXIF.*auto"):
        DatasetWrapper(cfg, [])


def test_views_of_an_image_are_crops_of_their_own(photos):
    cfg = config()
    cfg.DATALOADER.K_TRANSFORMS = 2
    for path in (photos[LARGE], photos[SMALL]):
        first, second = DatasetWrapper(cfg, [Datum(path)], build_transform(cfg), is_train=True)[0]["img"]
        assert first.shape == second.shape
        assert not torch.equal(first, second)


def test_fast_and_other_transforms_go_together(photos):
    cfg = config()
    cfg.DATALOADER.RETURN_IMG0 = True
    pipelines = [build_transform(cfg), build_transform(config("exact"), is_train=False), np.asarray]
    item = DatasetWrapper(cfg, [Datum(photos[LARGE])], pipelines)[0]
    assert item["img"].shape == item["img2"].shape == item["img0"].shape == (3, 64, 64)
    assert item["img3"].shape == (*LARGE[::-1], 3)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_broken_file_is_the_same_line_as_ever(photos, tmp_path, size):
    content = Path(photos[size]).read_bytes()
    for number, damaged in enumerate([content[: len(content) // 2], content[:100], b"", b"text"]):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(damaged)
        with pytest.raises(ImageError) as exact:
            result(str(file), "exact")
        with pytest.raises(ImageError) as fast:
            result(str(file), "fast")
        assert str(fast.value) == str(exact.value)
    with pytest.raises(ImageError, match=r'nowhere\.jpg" does not exist'):
        result(str(tmp_path / "nowhere.jpg"), "fast")


def test_a_torchvision_without_a_decoder_leaves_it_to_pillow(photos, monkeypatch):
    def absent(*arguments):
        raise RuntimeError("torchvision was built without it")

    monkeypatch.setattr(photo_module, "decode_jpeg", absent)
    with Image.open(io.BytesIO(Path(photos[SMALL]).read_bytes())) as image:
        expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(Photo(photos[SMALL]).pixels, expected)


def test_exact_is_what_a_config_without_the_key_gets():
    cfg = config()
    del cfg.INPUT["DECODING"]
    assert not build_transform(cfg).decodes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"decoding": "quick"}, 'unknown INPUT.DECODING "quick"'),
        ({"names": ("random_crop",)}, "INPUT.DECODING fast needs images that are first resized"),
        ({"names": ("random_translation", "random_resized_crop")}, "set it to exact"),
        ({"INTERPOLATION": "nearest"}, "bilinear or bicubic"),
    ],
)
def test_what_does_not_go_with_it_is_one_line(options, said):
    with pytest.raises(ConfigError, match=said) as caught:
        build_transform(config(**options))
    assert "\n" not in str(caught.value)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (40, 30), 9).save(path)
    return path


def test_image_is_read_as_rgb(picture):
    image = read_image(str(picture))
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (40, 30), (9, 9, 9))


KINDS = [("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("RGB", "WEBP")]


@pytest.mark.parametrize(("mode", "kind"), KINDS)
def test_pixels_are_those_of_pillows_conversion(tmp_path, mode, kind):
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # turned by 90 degrees: nobody turns it back unless asked
    options = {} if kind == "GIF" else {"exif": exif}
    Image.fromarray(values).convert(mode).save(tmp_path / "a", format=kind, **options)
    with Image.open(tmp_path / "a") as opened:
        expected = opened.convert("RGB")
    read = read_image(str(tmp_path / "a"))
    assert (read.mode, read.size) == ("RGB", expected.size)
    assert read.tobytes() == expected.tobytes()


def truncated(path):
    path.write_bytes(path.read_bytes()[:60])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not an image")


def missing(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncated, empty, text, missing])
def test_broken_image_is_one_line_with_the_path(picture, damage):
    damage(picture)
    with pytest.raises(DataError) as error:
        read_image(str(picture))
    assert f'image file "{picture}"' in str(error.value)
    assert "\n" not in str(error.value)


class Paths:
    """A data set of image sizes."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return read_image(self.paths[index]).size


def test_error_of_a_worker_process_reads_the_same(picture):
    truncated(picture)
    with pytest.raises(ImageError) as direct:
        read_image(str(picture))
    batches = iter(DataLoader(Paths([str(picture)]), num_workers=1))
    with pytest.raises(ImageError) as from_worker:
        next(batches)
    batches._shutdown_workers()  # left to the garbage collector, this takes torch five seconds
    assert str(from_worker.value) == str(direct.value)
