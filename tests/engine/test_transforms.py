"""Transform pipelines: fixed order, Dassl's printed lines, tensors out."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.pipeline import PixelsToTensor
from lamm.engine.embedded.transforms import (
    INTERPOLATION_MODES,
    TRANSFORM_NAMES,
    GaussianNoise,
    InstanceNormalization,
    build_transform,
)
from lamm.errors import LammError

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@pytest.fixture
def cfg():
    made = get_cfg_default()
    made.INPUT.SIZE = (24, 32)
    made.INPUT.GB_K = 3
    made.INPUT.CUTOUT_LEN = 5
    return made


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_lines_of_the_clip_configs(capsys):
    cfg = get_cfg_default()
    cfg.INPUT.TRANSFORMS = ("normalize", "random_flip", "random_resized_crop")
    cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = CLIP_MEAN, CLIP_STD
    normalization = f"+ normalization (mean={CLIP_MEAN}, std={CLIP_STD})"
    build_transform(cfg, is_train=True)
    assert lines(capsys) == [
        "Building transform_train",
        "+ random resized crop (size=(224, 224), scale=(0.08, 1.0))",
        "+ random flip",
        "+ to torch tensor of range [0, 1]",
        normalization,
    ]
    build_transform(cfg, is_train=False)
    assert lines(capsys) == [
        "Building transform_test",
        "+ resize the smaller edge to 224",
        "+ 224x224 center crop",
        "+ to torch tensor of range [0, 1]",
        normalization,
    ]


def test_nothing_chosen_resizes_and_makes_a_tensor(cfg, image, capsys):
    out = build_transform(cfg)(image)
    assert lines(capsys) == ["Building transform_train", "+ resize to 24x32", "+ to torch tensor of range [0, 1]"]
    assert torch.equal(out, T.ToTensor()(T.Resize((24, 32))(image)))


def test_training_pipeline_is_torchvisions_under_the_same_seed(cfg, image):
    cfg.INPUT.INTERPOLATION = "bicubic"
    ours = build_transform(cfg, choices=["normalize", "random_flip", "random_resized_crop"])
    theirs = T.Compose(
        [
            T.RandomResizedCrop((24, 32), scale=(0.08, 1.0), interpolation=T.InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD),
        ]
    )
    for seed in range(5):
        torch.manual_seed(seed)
        out = ours(image)
        torch.manual_seed(seed)
        assert torch.equal(out, theirs(image))


@pytest.mark.parametrize(("kind", "dtype"), [("RGB", torch.float32), ("L", torch.float32), ("RGB", torch.float64)])
def test_conversion_and_normalisation_as_one_have_torchvisions_bits(kind, dtype):
    pixels = np.random.default_rng(1).integers(0, 256, (33, 17, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(kind)
    mean, std = (CLIP_MEAN, CLIP_STD) if kind == "RGB" else (CLIP_MEAN[:1], CLIP_STD[:1])
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        ours = PixelsToTensor(mean, std)(picture)
        theirs = T.Normalize(mean, std)(T.ToTensor()(picture))
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(ours, theirs)
    assert ours.dtype == dtype
    assert ours.is_contiguous()


def test_all_levels_of_all_channels_have_torchvisions_bits():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.stack([levels] * 3, axis=-1))
    theirs = T.Normalize(CLIP_MEAN, CLIP_STD)(T.ToTensor()(picture))
    assert torch.equal(PixelsToTensor(CLIP_MEAN, CLIP_STD)(picture), theirs)
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(PixelsToTensor(CLIP_MEAN, CLIP_STD)(tensor), theirs)


def test_a_deviation_of_zero_is_torchvisions_error(image):
    with pytest.raises(ValueError, match="division by zero"):
        PixelsToTensor(CLIP_MEAN, [0.0, 1.0, 1.0])(image)


def test_test_pipeline_has_torchvisions_bits(cfg, image):
    cfg.INPUT.INTERPOLATION = "bicubic"
    theirs = T.Compose(
        [
            T.Resize(32, interpolation=T.InterpolationMode.BICUBIC),
            T.CenterCrop((24, 32)),
            T.ToTensor(),
            T.Normalize(cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD),
        ]
    )
    assert torch.equal(build_transform(cfg, is_train=False, choices=["normalize"])(image), theirs(image))


def test_test_pipeline_ignores_augmentations(cfg, image):
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "cutout", "gaussian_noise", "center_crop")
    out = build_transform(cfg, is_train=False)(image)
    assert torch.equal(out, T.ToTensor()(T.CenterCrop((24, 32))(T.Resize(32)(image))))


def test_choices_stand_in_for_the_config(cfg, capsys):
    cfg.INPUT.TRANSFORMS = ("random_flip",)
    build_transform(cfg, choices=["normalize"])
    assert not any("flip" in line for line in lines(capsys))


def test_all_transforms_stand_in_the_fixed_order(cfg, capsys):
    build_transform(cfg, choices=sorted(TRANSFORM_NAMES, reverse=True))
    starts = ["random translation", "random crop", "random resized crop", "random flip", "imagenet policy"]
    starts += ["cifar10 policy", "svhn policy", "randaugment ", "randaugment_fixmatch", "randaugment2", "color jitter"]
    starts += ["random gray scale", "gaussian blur", "to torch tensor", "cutout", "normalization", "gaussian noise"]
    starts += ["instance normalization"]
    printed = lines(capsys)[1:]
    assert len(printed) == len(starts)
    assert all(line.startswith(f"+ {start}") for line, start in zip(printed, starts, strict=True))


def test_every_transform_gives_a_float_tensor_of_the_size(cfg, image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in TRANSFORM_NAMES:
            pipeline = pickle.loads(pickle.dumps(build_transform(cfg, choices=[name])))  # as for a worker
            for seed in range(4):
                torch.manual_seed(seed)
                out = pipeline(image)
                assert (out.shape, out.dtype) == ((3, 24, 32), torch.float32), name


def test_translation_without_a_resize_before_it_gives_the_size(cfg, image):
    out = build_transform(cfg, choices=["random_translation", "random_resized_crop"])(image)
    assert out.shape == (3, 24, 32)


def test_cutout_blanks_squares_of_its_side(cfg):
    white = Image.new("RGB", (40, 40), (255, 255, 255))
    out = build_transform(cfg, choices=["cutout"])(white)
    assert (out == 0).sum().item() == 3 * 5 * 5
    cfg.INPUT.CUTOUT_LEN = 24
    with pytest.raises(ValueError, match=r"INPUT\.CUTOUT_LEN"):
        build_transform(cfg, choices=["cutout"])


def test_instance_norm_standardises_each_channel(image):
    out = InstanceNormalization()(T.ToTensor()(image))
    torch.testing.assert_close(out.mean(dim=(1, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(dim=(1, 2)), torch.ones(3))


def test_gaussian_noise_has_its_mean_and_deviation():
    torch.manual_seed(0)
    noise = GaussianNoise(0.5, 0.15)(torch.zeros(3, 200, 200))
    assert noise.mean().item() == pytest.approx(0.5, abs=0.005)
    assert noise.std().item() == pytest.approx(0.15, abs=0.005)


def test_no_transform_is_none_and_says_so(cfg, capsys):
    cfg.INPUT.NO_TRANSFORM = True
    assert build_transform(cfg) is None
    assert lines(capsys) == ["Note: no transform is applied!"]


def test_unknown_transform_is_an_assertion_error_and_a_user_error(cfg):
    with pytest.raises(AssertionError, match='did you mean "random_flip"') as error:
        build_transform(cfg, choices=["randomflip"])
    assert isinstance(error.value, LammError)


def test_unknown_interpolation_is_refused(cfg):
    cfg.INPUT.INTERPOLATION = "cubic"
    with pytest.raises(LammError, match='did you mean "bicubic"'):
        build_transform(cfg)
    assert set(INTERPOLATION_MODES) == {"bilinear", "bicubic", "nearest"}


@pytest.mark.parametrize("size", [(32,), (0, 32), (3.0, 4.0)])
def test_impossible_size_is_refused(cfg, size):
    cfg.INPUT.SIZE = size
    with pytest.raises(LammError, match=r"INPUT\.SIZE"):
        build_transform(cfg)
