"""Exported classifiers: the graph, the description, the folder; and ONNX files of small modules."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lamm_trainers import TRAINERS as ALL
from lamm_trainers import extend_cfg
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import Tensor, nn

from lamm.clip.loading import load_clip, wrap_clip
from lamm.clip.model import ClipModel
from lamm.engine import get_cfg_default
from lamm.errors import ConfigError
from lamm.inference import export as exporting
from lamm.inference import onnx_file
from lamm.inference.export import export, exportable, files_written_together
from lamm.inference.model import RunFolder, TrainedModel
from lamm.inference.onnx_file import ExportError, largest_difference, missing_for_onnx, write_onnx
from tests.clip import small_clip_models as small
from tests.pictures import noise
from tests.trainers.learner_cases import clip_lora, cocoop_lamm, coop, disturb, lamm, maple_lamm, promptsrc, top_lamm

NAMES = ["crane", "german_shepherd", "C++", "große Null"]
TRAINERS = {trainer.__name__: trainer for trainer in ALL}
# One way of making text features, and one of prompting images, each.
HEADS = ("GDA", "LinearProbe", "TipAdapter")
STEPWISE = ("NearestMean", "RanPAC")
KINDS = dict.fromkeys(HEADS) | {
    "LAMM": lamm,
    "CoOp": coop,
    "MaPLe_LAMM": maple_lamm,
    "CoCoOp_LAMM": cocoop_lamm,
    "ZeroshotCLIP": None,
}
KINDS |= {"TopLAMM": top_lamm, "CLIPLoRA": clip_lora}  # their image towers have weights of their own
# Graphs that are a part of others': GDA's has LinearProbe's, LAMM's those of fixed class features.
PARTS_OF_OTHERS = ("LinearProbe", "CoOp", "ZeroshotCLIP")
PROMPTS_IMAGES = {"MaPLe_LAMM": maple_lamm, "PromptSRC": promptsrc}
SIDE = 32


@pytest.fixture
def runtime() -> Any:
    reason = missing_for_onnx()
    if reason:
        pytest.skip(f"ONNX files need {reason}")
    return pytest.importorskip("onnxruntime", reason='needs pip install -e ".[onnx]"')


@pytest.fixture(scope="module")
def tiny() -> ClipModel:
    return load_clip("tiny")


def classifier_of(clip: ClipModel, name: str) -> TrainedModel:
    """A trainer's classifier on a CLIP; what it learns is moved from where it starts."""
    build = {**KINDS, **PROMPTS_IMAGES}.get(name)
    if build is None:
        cfg = extended_cfg()
        cfg.TRAINER.RANPAC.PROJECTION = 50
        learner = TRAINERS[name].make_learner(cfg, clip, NAMES, ["a photo of a {}.", "art of the {}."])
        if name in (*HEADS, *STEPWISE):
            fit_on_noise(learner)
    else:
        learner = disturb(build(clip, NAMES))
    return TrainedModel(clip, learner, NAMES)


@torch.no_grad()
def fit_on_noise(head: Any) -> None:
    """Two images of three views for each class."""
    features = torch.randn(2 * len(NAMES), 3, head.clip.embed_dim, generator=torch.Generator().manual_seed(4))
    head.make_room_for({"keys": torch.zeros(len(features), 1)})
    head.fit(F.normalize(features, dim=-1), torch.arange(len(NAMES)).repeat(2))


def extended_cfg() -> Any:
    """The default config with our keys."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    return cfg


def run_of(name: str, folder: Path, *overrides: Any) -> RunFolder:
    """A run of a trainer on 32 x 32 images."""
    cfg = extended_cfg()
    cfg.merge_from_list(["TRAINER.NAME", name, "INPUT.SIZE", (SIDE, SIDE), "INPUT.TRANSFORMS", ("normalize",)])
    cfg.merge_from_list(["INPUT.INTERPOLATION", "bicubic", *overrides])
    return RunFolder(folder, cfg, TRAINERS[name], False, None, None)


def run_onnx(runtime: Any, path: Path, images: Tensor) -> list[Tensor]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(["logits", "probabilities"], {"images": images.numpy()})]


@pytest.fixture(params=[name for name in KINDS if name not in PARTS_OF_OTHERS])
def exported(
    request: pytest.FixtureRequest, tiny: ClipModel, runtime: Any, tmp_path: Path
) -> tuple[TrainedModel, Path]:
    """Every kind of classifier on the embedded model, and the folder that it was exported to."""
    classifier = classifier_of(tiny, request.param)
    files, _ = export(classifier, run_of(request.param, tmp_path), tmp_path / "export")
    assert all(file.is_file() for file in files)
    return classifier, tmp_path / "export"


def test_onnxruntime_gives_our_logits_for_any_number_of_images(
    exported: tuple[TrainedModel, Path], runtime: Any
) -> None:
    classifier, folder = exported
    for count in (1, 2, 5, 9):
        images = torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(count))
        logits, probabilities = run_onnx(runtime, folder / "classifier.onnx", images)
        assert logits.shape == (count, len(NAMES))
        torch.testing.assert_close(logits, classifier.logits(images), atol=1e-4, rtol=0)
        torch.testing.assert_close(probabilities, classifier.probabilities(images), atol=1e-5, rtol=0)


def preprocessed(path: Path, described: dict[str, Any]) -> Tensor:
    """An image file as `classifier.json` says, with Pillow and torch alone. Shape: (1, 3, H, W)"""
    assert described["orientation"] == "turned as EXIF says"
    image = ImageOps.exif_transpose(Image.open(path)).convert(described["colour"])
    side = described["resize"]["shorter_side"]
    assert described["resize"]["longer_side"] == "in proportion, rounded down"
    resampling = Image.Resampling[described["resize"]["interpolation"].upper()]
    short = min(image.size)
    image = image.resize(tuple(side * length // short for length in image.size), resampling)
    height, width = described["centre_crop"]["height"], described["centre_crop"]["width"]
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    image = image.crop((left, top, left + width, top + height))
    pixels = torch.tensor(list(image.getdata())).view(height, width, 3).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(described[name]).view(3, 1, 1) for name in ("mean", "std"))
    return ((pixels - mean) / std)[None]


@torch.no_grad()
def prompted_features(visual: Any, images: Tensor, prompts: list[Tensor]) -> Tensor:
    """open_clip's vision transformer by hand, with `vision_prompts` as `classifier.json` describes them. (B, E)"""
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
    x = visual.ln_pre(torch.cat([x, prompts[0].expand(len(x), -1, -1)], dim=1))
    for number, block in enumerate(visual.transformer.resblocks):
        if 0 < number < len(prompts):
            x = torch.cat([x[:, : -len(prompts[0])], prompts[number].expand(len(x), -1, -1)], dim=1)
        x = block(x)
    return visual.ln_post(x)[:, 0] @ visual.proj


@pytest.mark.parametrize("name", ["LAMM", "CoOp", *PROMPTS_IMAGES, "ZeroshotCLIP", *HEADS, *STEPWISE])
def test_the_pair_alone_gives_our_predictions(name: str, tiny: ClipModel, tmp_path: Path) -> None:
    from lamm.clip.tiny import load_weights

    classifier, run = classifier_of(tiny, name), run_of(name, tmp_path, "MODEL.BACKBONE.NAME", "tiny")
    export(classifier, run, tmp_path / "export", onnx=False)
    tensors = load_file(tmp_path / "export" / "classifier.safetensors")
    described = json.loads((tmp_path / "export" / "classifier.json").read_text(encoding="utf-8"))
    photo = tmp_path / "photo.png"
    Image.effect_mandelbrot((150, 97), (-2, -1.5, 1, 1.5), 30).convert("RGB").save(photo)
    images = preprocessed(photo, described["preprocessing"])

    visual = load_weights().visual
    prompts = [tensors[key] for key in sorted(tensors) if key.startswith("vision_prompts.")]
    with torch.no_grad():
        features = prompted_features(visual, images, prompts) if prompts else visual(images)
    plain = "exp(logit_scale) * image_features @ class_features.T"
    assert (described["scores"]["logits"] == plain) == (name not in (*HEADS, *STEPWISE))
    known = {**tensors, "exp": torch.exp, "relu": torch.relu, "image_features": F.normalize(features, dim=-1)}
    logits = eval(described["scores"]["logits"], known)  # as the file says it
    assert tensors.keys() <= {*described["tensors"], *(key for key in tensors if key.startswith("vision_prompts."))}
    torch.testing.assert_close(logits, classifier.logits(images), atol=1e-4, rtol=0)
    assert described["class_names"] == NAMES
    assert described["backbone"]["licence_of_weights"] == "MIT"
    assert ("vision_prompts" in described) == bool(prompts) == (name in PROMPTS_IMAGES)
    assert all(value.dtype == torch.float32 for value in tensors.values())
    torch.testing.assert_close(tensors["class_features"].norm(dim=-1), torch.ones(len(NAMES)))


def test_the_described_preprocessing_is_that_of_the_test_images(tiny: ClipModel, tmp_path: Path) -> None:
    from lamm.engine import build_transform
    from lamm.inference.export import preprocessing_description

    cfg = run_of("LAMM", tmp_path).cfg
    transform = build_transform(cfg, is_train=False)
    assert transform is not None
    for size in ((97, 150), (64, 64), (32, 200), (20, 31)):
        photo = tmp_path / "photo.png"
        noise(*size).save(photo)
        described = preprocessing_description(cfg.INPUT)
        expected = transform(Image.open(photo))
        torch.testing.assert_close(preprocessed(photo, described)[0], expected, atol=1e-6, rtol=0)


def test_preprocessing_without_a_description_is_refused(tiny: ClipModel, tmp_path: Path) -> None:
    run = run_of("LAMM", tmp_path, "INPUT.TRANSFORMS", ("normalize", "instance_norm"))
    with pytest.raises(ConfigError, match="has instance_norm, which an exported classifier can't describe"):
        export(classifier_of(tiny, "LAMM"), run, tmp_path / "export", onnx=False)


def test_prompts_for_each_image_are_no_pair_of_files(
    tiny: ClipModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, run = classifier_of(tiny, "CoCoOp_LAMM"), run_of("CoCoOp_LAMM", tmp_path)
    with pytest.raises(ExportError, match=r"CoCoOp_LAMM makes its prompts for each image, .*leave --no-onnx out"):
        export(classifier, run, tmp_path / "export", onnx=False)
    monkeypatch.setattr(exporting, "missing_for_onnx", lambda: "onnx: pip install it")
    with pytest.raises(ExportError, match="only an ONNX file can hold it, which needs onnx: pip install it"):
        export(classifier, run, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_prompts_for_each_image_are_one_graph(tiny: ClipModel, runtime: Any, tmp_path: Path) -> None:
    classifier = classifier_of(tiny, "CoCoOp_LAMM")
    encoder = classifier.learner.text_encoder
    export(classifier, run_of("CoCoOp_LAMM", tmp_path), tmp_path / "export")
    assert sorted(file.name for file in (tmp_path / "export").iterdir()) == ["classifier.json", "classifier.onnx"]
    described = json.loads((tmp_path / "export" / "classifier.json").read_text(encoding="utf-8"))
    assert described["scores"] == "the class features depend on the image: they are made in the ONNX graph"
    assert "tensors" not in described
    assert classifier.learner.text_encoder is encoder


def test_without_the_libraries_the_pair_is_written_and_a_note_says_what_to_install(
    tiny: ClipModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "classifier.json").write_text(exporting.FORMAT)
    (folder / "classifier.onnx").write_text("of another classifier")
    monkeypatch.setattr(exporting, "missing_for_onnx", lambda: "onnx: pip install it")
    files, notes = export(classifier_of(tiny, "LAMM"), run_of("LAMM", tmp_path), folder)
    assert notes == ["no classifier.onnx, which needs onnx: pip install it"]
    assert [file.name for file in files] == ["classifier.json", "classifier.safetensors"]
    assert sorted(folder.iterdir()) == sorted(files)


def towers() -> dict[str, Callable[[], ClipModel]]:
    """CLIPs of each make and kind of image tower."""
    return {
        "open_clip_vit": lambda: wrap_clip(small.open_clip_model(), "small"),
        "open_clip_resnet": lambda: wrap_clip(small.open_clip_model(vision=RESNET), "small"),
        "clip_package_vit": lambda: wrap_clip(small.clip_package_model(), "small"),
        "clip_package_resnet": lambda: wrap_clip(small.clip_package_model(small.RESNET), "small"),
    }


RESNET = {"layers": (1, 2, 1, 1), "width": 32, "head_width": 64, "patch_size": None, "image_size": 64}


@pytest.mark.parametrize("tower", towers())
def test_every_make_and_image_tower_becomes_a_graph(tower: str, runtime: Any, tmp_path: Path) -> None:
    clip = towers()[tower]()
    classifier = classifier_of(clip, "ZeroshotCLIP")
    with exportable(classifier) as graph:
        write_onnx(graph, clip.image_size, tmp_path / "classifier.onnx", {})
    away = largest_difference(tmp_path / "classifier.onnx", classifier.logits, clip.image_size)
    assert away == pytest.approx(0, abs=1e-4)


FILES = ("a", "b", "c")


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_files_appear_when_all_are_made(tmp_path: Path) -> None:
    with files_written_together(tmp_path / "new" / "folder", FILES) as made:
        (made / "a").write_text("1")
        assert not (tmp_path / "new" / "folder" / "a").exists()
        (made / "b").write_text("2")
    assert contents(tmp_path / "new" / "folder") == {"a": "1", "b": "2"}


def test_those_of_before_are_replaced_or_removed_and_others_stay(tmp_path: Path) -> None:
    for name in ("a", "c", "notes"):
        (tmp_path / name).write_text("before" if name == "notes" else exporting.FORMAT)
    with files_written_together(tmp_path, FILES) as made:
        (made / "a").write_text("now")
    assert contents(tmp_path) == {"a": "now", "notes": "before"}


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(exporting.FORMAT)
    with suppress(RuntimeError), files_written_together(tmp_path, FILES) as made:
        (made / "a").write_text("half")
        raise RuntimeError
    assert contents(tmp_path) == {"a": exporting.FORMAT}


def test_files_that_are_not_of_an_export_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("a letter")
    with pytest.raises(ConfigError, match="b exists"):
        files_written_together(tmp_path, FILES).__enter__()
    assert contents(tmp_path) == {"b": "a letter"}


def test_a_failure_leaves_no_new_folder(tmp_path: Path) -> None:
    with suppress(RuntimeError), files_written_together(tmp_path / "new", FILES):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    together = files_written_together(tmp_path / "file", FILES)
    with pytest.raises(ConfigError, match="file is a file: give a folder"):
        together.__enter__()


SMALL_SIDE = 4


class Linear(nn.Module):
    """Logits from the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(3 * SMALL_SIDE * SMALL_SIDE, 5)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.map(images.flatten(1))
        return logits, logits.softmax(dim=-1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        return self(images)[0]


class OfOneSize(Linear):
    """Asks how many images there are, as `len` does, which no exporter can follow."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.map(images.flatten(1)) + torch.zeros(len(images), 1)
        return logits, logits.softmax(dim=-1)


@pytest.fixture
def module() -> Linear:
    torch.manual_seed(0)
    return Linear()


def run(runtime: Any, path: Path, images: Tensor) -> list[Tensor]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(["logits", "probabilities"], {"images": images.numpy()})]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_file_gives_the_modules_numbers_for_any_number_of_images(
    count: int, module: Linear, runtime: Any, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    assert write_onnx(module, SMALL_SIDE, path, {"key": "wert ü"}) == [path]
    images = torch.randn(count, 3, SMALL_SIDE, SMALL_SIDE)
    logits, probabilities = run(runtime, path, images)
    torch.testing.assert_close(logits, module.logits(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(probabilities, module.logits(images).softmax(dim=-1), atol=1e-6, rtol=1e-5)


def test_the_file_carries_its_metadata_and_no_path_of_the_machine(module: Linear, runtime: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_onnx(module, SMALL_SIDE, path, {"key": "wert ü"})
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["key"] == "wert ü"
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("images", ["batch", 3, SMALL_SIDE, SMALL_SIDE])]
    assert [one.shape for one in session.get_outputs()] == [["batch", 5], ["batch", 5]]
    assert b".py" not in path.read_bytes()


def test_weights_beyond_the_limit_go_into_a_file_beside_it(
    module: Linear, runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MOST_BYTES_INSIDE", 100)
    path = tmp_path / "m.onnx"
    assert write_onnx(module, SMALL_SIDE, path, {}) == [path, tmp_path / "m.onnx.data"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert (tmp_path / "m.onnx.data").stat().st_size >= 4 * 3 * SMALL_SIDE * SMALL_SIDE * 5
    assert largest_difference(path, module.logits, SMALL_SIDE) == pytest.approx(0, abs=1e-5)


def test_a_graph_for_one_number_of_images_alone_is_refused(runtime: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no ONNX graph can be made of this classifier"):
        write_onnx(OfOneSize(), SMALL_SIDE, tmp_path / "m.onnx", {})


def test_a_file_with_other_numbers_is_refused(module: Linear, runtime: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_onnx(module, SMALL_SIDE, path, {})
    with pytest.raises(ExportError, match=r"logits are 0\.\d+ from ours: it is not kept"):
        largest_difference(path, lambda images: module.logits(images) + 0.1, SMALL_SIDE)
    with pytest.raises(ExportError, match="logits are nan from ours"):
        largest_difference(path, lambda images: module.logits(images) * float("nan"), SMALL_SIDE)


def test_what_is_missing_is_named(module: Linear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None)
    assert missing_for_onnx() == 'onnx and onnxscript: pip install -e ".[onnx]"'
    assert largest_difference(tmp_path / "m.onnx", module.logits, SMALL_SIDE) is None
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch, "__version__", "2.4.1+cpu")
    assert missing_for_onnx() == "torch 2.6 or newer"
