"""A backbone's name leads to its weights by a fixed order of places, or to one line that says what is missing."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import lamm.clip.tiny
from lamm.clip import ClipModel, load_clip, loading, wrap_clip
from lamm.clip.architecture import Architecture
from lamm.clip.open_clip_models import check_quick_gelu, split_name
from lamm.clip.sources import DownloadError, Source
from lamm.errors import BackboneError
from tests.clip.small_clip_models import (
    RESNET,
    VIT,
    clip_package_model,
    images,
    open_clip_model,
    openai_state_dict,
    prompts,
    randomise,
    save_jit_archive,
)

SMALL_CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no way to the hub."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return folder


@pytest.fixture
def small_vit_b_16(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A small model that passes for ViT-B/16."""
    model = clip_package_model()
    small = Architecture.from_state_dict(model.state_dict())
    monkeypatch.setattr(loading, "openai_architecture", lambda name: small)
    return model


@pytest.fixture
def architectures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small architectures in open_clip's registry."""
    import open_clip.factory as factory

    text = SMALL_CONFIG["text_cfg"]
    configs = {
        "small": SMALL_CONFIG,
        "small-quickgelu": {**SMALL_CONFIG, "quick_gelu": True},
        "small-custom": {**SMALL_CONFIG, "custom_text": True},
        "small-siglip": {**SMALL_CONFIG, "text_cfg": {**text, "pool_type": "last", "no_causal_mask": True}},
        "small-hf": {
            **SMALL_CONFIG,
            "text_cfg": {"hf_model_name": "roberta-base", "hf_tokenizer_name": "roberta-base"},
        },
    }
    known = dict(factory._MODEL_CONFIGS)
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", {**known, **json.loads(json.dumps(configs))})


def assert_equal_features(clip: ClipModel, reference: Any) -> None:
    batch = images(clip.image_size)
    with torch.no_grad():
        expected = reference.encode_image(batch)
        scale = expected.abs().max()
        torch.testing.assert_close(clip.encode_image(batch) / scale, expected / scale, rtol=0, atol=1e-5)


def test_the_package_is_imported_without_open_clip() -> None:
    code = "import sys, lamm.clip, lamm.clip.model; sys.exit('open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_path_to_a_file_comes_before_the_cache(small_vit_b_16: Any, home: Path, tmp_path: Path) -> None:
    torch.save(small_vit_b_16.state_dict(), tmp_path / "mine.pt")
    (home / ".cache/clip").mkdir(parents=True)
    (home / ".cache/clip/ViT-B-16.pt").write_text("damaged")
    assert_equal_features(load_clip("ViT-B/16", str(tmp_path / "mine.pt")), small_vit_b_16)


def test_a_path_to_a_folder_finds_the_released_file_name(small_vit_b_16: Any, tmp_path: Path) -> None:
    torch.save(openai_state_dict(small_vit_b_16), tmp_path / "ViT-B-16.pt")
    assert_equal_features(load_clip("ViT-B/16", str(tmp_path)), small_vit_b_16.float())


def test_the_cache_of_the_clip_package_is_used(small_vit_b_16: Any, home: Path) -> None:
    (home / ".cache/clip").mkdir(parents=True)
    save_jit_archive(small_vit_b_16, home / ".cache/clip/ViT-B-16.pt")
    clip = load_clip("ViT-B/16")
    assert (clip.name, clip.image_size, clip.embed_dim, clip.dtype) == ("ViT-B/16", 32, 64, torch.float32)
    assert_equal_features(clip, small_vit_b_16.float())


def test_a_damaged_cache_file_is_an_error_not_another_model(small_vit_b_16: Any, home: Path) -> None:
    (home / ".cache/clip").mkdir(parents=True)
    (home / ".cache/clip/ViT-B-16.pt").write_text("damaged")
    with pytest.raises(BackboneError, match=r"ViT-B-16.pt is not a weights file that can be read"):
        load_clip("ViT-B/16")


def test_weights_in_the_hub_cache_are_used_without_a_request(small_vit_b_16: Any, home: Path) -> None:
    repository = home / "hub/models--timm--vit_base_patch16_clip_224.openai"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("abc")
    (repository / "snapshots/abc").mkdir(parents=True)
    save_file(small_vit_b_16.state_dict(), repository / "snapshots/abc/open_clip_model.safetensors")
    assert_equal_features(load_clip("ViT-B/16"), small_vit_b_16)


@pytest.mark.parametrize("name", ["RN50", "ViT-L/14@336px"])
def test_without_weights_and_network_the_error_says_where_the_file_goes_within_seconds(name: str, home: Path) -> None:
    started = time.monotonic()
    with pytest.raises(BackboneError) as caught:
        load_clip(name)
    assert time.monotonic() - started < 8
    file_name = name.replace("/", "-").replace("@", "-") + ".pt"
    message = str(caught.value)
    assert f"no weights of {name} on this machine" in message
    assert message.endswith(f"/{file_name} (its SHA-256 is in the link)")
    assert len(message) < 450  # what a command prints of it
    assert f"put {file_name} at {home / '.cache/clip' / file_name}, or set MODEL.BACKBONE.PATH" in message
    assert "\n" not in message


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"MODEL.BACKBONE.PATH: no file or folder .*nowhere"):
        load_clip("ViT-B/16", str(tmp_path / "nowhere"))
    with pytest.raises(BackboneError, match=r"the folder .* has no ViT-B-16.pt"):
        load_clip("ViT-B/16", str(tmp_path))


@pytest.mark.parametrize("path", ["/dev/zero", "~nobody_here/file", "a\0b", "x" * 5000, "pipe"])
def test_a_path_to_something_else_is_one_line(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(BackboneError, match=r"MODEL\.BACKBONE\.PATH") as caught:
        load_clip("ViT-B/16", path)
    assert len(str(caught.value)) < 300


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BackboneError, match='unknown backbone "ViT-B-16"; did you mean "ViT-B/16"'):
        load_clip("ViT-B-16")


def test_tiny_comes_from_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = open_clip_model()
    monkeypatch.setattr(lamm.clip.tiny, "load_weights", lambda: model)
    clip = load_clip("tiny")
    assert (clip.name, clip.image_size) == ("tiny", 32)
    assert_equal_features(clip, model)
    with pytest.raises(BackboneError, match="tiny has its weights in the package"):
        load_clip("tiny", str(tmp_path))
    assert load_clip("tiny", dtype=torch.float16).dtype == torch.float16


@pytest.mark.parametrize(
    "make",
    [clip_package_model, lambda: clip_package_model(RESNET), open_clip_model, lambda: open_clip_model(True)],
    ids=["clip_vit", "clip_resnet", "open_clip", "open_clip_custom_text"],
)
def test_a_model_object_is_accepted_frozen_and_stays_in_evaluation_mode(make: Any) -> None:
    model = make()
    clip = wrap_clip(model, "mine").train()
    assert not any(p.requires_grad for p in clip.parameters())
    assert not any(m.training for m in clip.modules())
    assert clip.logit_scale is model.logit_scale
    assert len(clip.state_dict()) == len(model.state_dict())
    assert_equal_features(clip, model)


def test_images_of_any_dtype_are_cast_to_that_of_the_tower() -> None:
    clip = wrap_clip(open_clip_model(), "mine")
    assert clip.encode_image(images(32).double()).dtype == torch.float32


@pytest.mark.parametrize("size", [224, (224, 224), [32, 16]])
def test_a_wrong_image_size_names_both(size: Any) -> None:
    clip = wrap_clip(open_clip_model(), "mine")
    with pytest.raises(BackboneError, match=r"INPUT.SIZE is (224 x 224|32 x 16), but mine takes 32 x 32"):
        clip.check_image_size(size)
    clip.check_image_size(32)
    clip.check_image_size((32, 32))


def test_objects_that_are_no_clip_model_are_refused() -> None:
    with pytest.raises(BackboneError, match="a Linear is no CLIP model"):
        wrap_clip(nn.Linear(2, 2), "mine")
    with pytest.raises(BackboneError, match=r"knows 100 tokens, CLIP's tokenizer has 49408"):
        wrap_clip(open_clip_model(vocabulary=100), "mine")
    wide = open_clip_model(vision={"layers": 1, "width": 64, "patch_size": 8, "image_size": (32, 64)})
    with pytest.raises(BackboneError, match="only square inputs are handled"):
        wrap_clip(wide, "mine")


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_object_is_refused(tmp_path: Path) -> None:
    compiled = torch.jit.load(str(save_jit_archive(clip_package_model(VIT), tmp_path / "m.pt")))
    with pytest.raises(BackboneError, match="compiled JIT module; load it with jit=False"):
        wrap_clip(compiled, "mine")


@pytest.mark.usefixtures("architectures")
@pytest.mark.parametrize(
    ("name", "form"),
    [("open_clip:small", "safetensors"), ("open_clip:small-quickgelu", "pt"), ("open_clip:small-custom", "folder")],
)
def test_an_open_clip_architecture_takes_weights_from_a_path(name: str, form: str, tmp_path: Path) -> None:
    import open_clip

    reference = randomise(open_clip.create_model(name.removeprefix("open_clip:"), load_weights=False), seed=5)
    file = tmp_path / {"folder": "open_clip_model.safetensors"}.get(form, f"mine.{form}")
    if form == "pt":
        torch.save({"state_dict": reference.state_dict()}, file)
    else:
        save_file(reference.state_dict(), file)
    clip = load_clip(name, str(tmp_path if form == "folder" else file))
    assert_equal_features(clip, reference)
    ids = prompts()
    with torch.no_grad():
        x = clip.text.transform(clip.text.embed(ids) + clip.text.positional_embedding)
        text = clip.text.finish(x[torch.arange(len(ids)), ids.argmax(-1)])
        torch.testing.assert_close(text, reference.encode_text(ids))


@pytest.mark.usefixtures("architectures")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:small-siglip", "its text tower .*has no causal mask.*use a CLIP with a causal text tower"),
        ("open_clip:small-hf", "Hugging Face's roberta-base.* has no CLIP token embedding"),
        ("open_clip:smal", 'unknown open_clip architecture "smal".*did you mean "small"'),
        ("open_clip:small", "open_clip:small names no weights: write open_clip:small/TAG or set MODEL.BACKBONE.PATH"),
        (
            "open_clip:ViT-B-16/laion3b",
            'open_clip has no weights "laion3b" for ViT-B-16; its tags: .*laion2b_s34b_b88k',
        ),
        ("open_clip:coca_ViT-B-32/laion2b_s13b_b90k", "appended class token"),
        ("open_clip:ViT-B-16-SigLIP/webli", "has no causal mask"),
        (
            "open_clip:ViT-B-16/openai",
            "computes GELU, but its weights .* QuickGELU: use open_clip:ViT-B-16-quickgelu/openai",
        ),
        (
            "open_clip:ViT-B-16-quickgelu/laion2b_s34b_b88k",
            "computes QuickGELU, but its weights .* trained with GELU: use open_clip:ViT-B-16/laion2b_s34b_b88k",
        ),
        (
            "open_clip:ViT-B-16/laion2b_s34b_b88k",
            "no download .* fetch https://huggingface.co/laion/CLIP-ViT-B-16-laion2B-s34B-b88K .*copy its folder",
        ),
    ],
)
def test_an_open_clip_name_that_cannot_work_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        load_clip(name)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("architectures")
def test_open_clip_weights_of_another_architecture_or_format_are_refused(tmp_path: Path) -> None:
    torch.save(open_clip_model(layers=3).state_dict(), tmp_path / "three.pt")
    with pytest.raises(BackboneError, match=r"three.pt does not fit open_clip:small: .*resblocks.2"):
        load_clip("open_clip:small", str(tmp_path / "three.pt"))
    (tmp_path / "text.pt").write_text("<html>")
    with pytest.raises(BackboneError, match=r"text.pt is not a weights file that can be read"):
        load_clip("open_clip:small", str(tmp_path / "text.pt"))
    (tmp_path / "text.safetensors").write_text("<html>")
    with pytest.raises(BackboneError, match=r"text.safetensors is not a weights file that can be read"):
        load_clip("open_clip:small", str(tmp_path / "text.safetensors"))
    archive = save_jit_archive(clip_package_model(), tmp_path / "archive.pt")
    with pytest.raises(BackboneError, match="is a JIT archive in OpenAI's format: use it with an OpenAI name"):
        load_clip("open_clip:small", str(archive))


@pytest.mark.usefixtures("architectures")
def test_an_open_clip_tag_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import open_clip

    reference = randomise(open_clip.create_model("small", load_weights=False))
    save_file(reference.state_dict(), tmp_path / "fetched.safetensors")
    monkeypatch.setattr("open_clip.list_pretrained_tags_by_model", lambda arch: ["mine"] if arch == "small" else [])
    monkeypatch.setattr("open_clip.pretrained.get_pretrained_cfg", lambda arch, tag: {"hf_hub": "me/mine/"})
    monkeypatch.setattr(Source, "fetch", lambda source: tmp_path / "fetched.safetensors")
    assert_equal_features(load_clip("open_clip:small/mine"), reference)


def test_an_openai_download_is_checked_like_any_file(
    small_vit_b_16: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_file(small_vit_b_16.state_dict(), tmp_path / "fetched.safetensors")
    monkeypatch.setattr(Source, "fetch", lambda source: tmp_path / "fetched.safetensors")
    assert_equal_features(load_clip("ViT-B/16"), small_vit_b_16)

    def fail(source: Source) -> Path:
        raise DownloadError("404")

    monkeypatch.setattr(Source, "fetch", fail)
    with pytest.raises(BackboneError, match=r"no download \(404\): put ViT-B-16.pt at"):
        load_clip("ViT-B/16")


@pytest.mark.usefixtures("architectures")
def test_names_are_split_at_the_tag() -> None:
    assert split_name("open_clip:ViT-B-16/laion2b_s34b_b88k") == ("ViT-B-16", "laion2b_s34b_b88k")
    assert split_name("open_clip:ViT-B/16/openai") == ("ViT-B-16", "openai")
    assert split_name("open_clip:ViT-B/16") == ("ViT-B-16", "")
    assert split_name("open_clip:small") == ("small", "")


def test_a_quick_gelu_mismatch_without_a_sister_architecture_advises_another_tag() -> None:
    with pytest.raises(BackboneError, match="choose another tag"):
        check_quick_gelu("EVA02-B-16", "mine", of_model=False, of_weights=True)
    check_quick_gelu("ViT-B-16", "mine", of_model=False, of_weights=False)
