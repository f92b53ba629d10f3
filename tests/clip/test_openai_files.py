"""Files in OpenAI's format give the features of the `clip` package's own model, and bad files a one-line error."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lamm.clip import loading
from lamm.clip.architecture import Architecture, undrawn_weights
from lamm.clip.loading import load_openai_file, openai_architecture
from lamm.clip.sources import OPENAI_NAMES, openai_file_name
from lamm.errors import BackboneError
from lamm.torch_files import is_jit_archive, read_jit_weights
from tests.clip.small_clip_models import (
    RESNET,
    VIT,
    VOCABULARY,
    clip_package,
    clip_package_model,
    images,
    openai_state_dict,
    prompts,
    randomise,
    save_jit_archive,
)


def assert_same_features(ours: Any, reference: Any, tolerance: float = 1e-5) -> None:
    """Image and text features agree up to `tolerance` of their largest value."""
    batch = images(reference.visual.input_resolution).to(ours.visual.conv1.weight.dtype)
    with torch.no_grad():
        pairs = [
            (ours.encode_image(batch), reference.encode_image(batch)),
            (ours.encode_text(prompts()), reference.encode_text(prompts())),
        ]
    for got, expected in pairs:
        scale = expected.abs().max()
        torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=tolerance)


@pytest.fixture(scope="module", params=["vit", "resnet"])
def vision(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"vit": VIT, "resnet": RESNET}[request.param]


def test_a_plain_state_dict_gives_the_features_of_the_clip_package(vision: dict[str, Any], tmp_path: Path) -> None:
    weights = openai_state_dict(clip_package_model(vision))
    torch.save(weights, tmp_path / "model.pt")
    reference = clip_package().build_model(dict(weights)).float()
    ours = load_openai_file(tmp_path / "model.pt")
    assert_same_features(ours, reference)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert not ours.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_model_without_drawn_weights_is_the_same(vision: dict[str, Any], dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save(openai_state_dict(clip_package_model(vision)), tmp_path / "model.pt")
    with undrawn_weights():
        torch.manual_seed(1)
        bare = load_openai_file(tmp_path / "model.pt", dtype)
    assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(1).get_state())
    drawn = load_openai_file(tmp_path / "model.pt", dtype)
    assert not torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(1).get_state())
    for ours, expected in zip(
        (*bare.parameters(), *bare.buffers()), (*drawn.parameters(), *drawn.buffers()), strict=True
    ):
        assert torch.equal(ours, expected)
        assert ours.dtype == expected.dtype
        assert ours.requires_grad == expected.requires_grad


def test_a_jit_archive_gives_the_features_of_the_clip_package(vision: dict[str, Any], tmp_path: Path) -> None:
    file = save_jit_archive(clip_package_model(vision), tmp_path / "model.pt")
    assert is_jit_archive(file)
    archived = torch.jit.load(str(file)).state_dict()
    assert archived["visual.conv1.weight"].dtype == torch.float16
    assert int(archived["input_resolution"]) == vision["image_resolution"]
    reference = clip_package().build_model(dict(archived)).float()
    assert_same_features(load_openai_file(file), reference)


def test_fp32_weights_are_not_rounded_to_fp16_on_the_way(tmp_path: Path) -> None:
    weights = clip_package_model().state_dict()
    torch.save(weights, tmp_path / "model.pt")
    loaded = load_openai_file(tmp_path / "model.pt").state_dict()
    for name, tensor in weights.items():
        assert torch.equal(loaded[name], tensor), name


def test_fp16_keeps_norms_and_embeddings_in_fp32_as_the_clip_package_does(tmp_path: Path) -> None:
    weights = openai_state_dict(clip_package_model())
    torch.save(weights, tmp_path / "model.pt")
    reference = clip_package().build_model(dict(weights))
    ours = load_openai_file(tmp_path / "model.pt", torch.float16)
    for name, tensor in reference.state_dict().items():
        assert ours.state_dict()[name].dtype == tensor.dtype, name
        assert torch.equal(ours.state_dict()[name], tensor), name
    assert_same_features(ours, reference, tolerance=0.01)


@pytest.mark.parametrize("form", ["checkpoint", "safetensors"])
def test_a_training_checkpoint_and_safetensors_do_as_well(form: str, tmp_path: Path) -> None:
    model = clip_package_model()
    file = tmp_path / f"model.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        save_file(model.state_dict(), file)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, file)
    assert_same_features(load_openai_file(file), model)


def test_openai_weights_get_quick_gelu(tmp_path: Path) -> None:
    torch.save(clip_package_model().state_dict(), tmp_path / "model.pt")
    kinds = {type(m).__name__ for m in load_openai_file(tmp_path / "model.pt").modules()}
    assert "QuickGELU" in kinds
    assert "GELU" not in kinds


def write(kind: str, path: Path) -> Path:
    """A file that is no CLIP in OpenAI's format, of some kind."""
    whole = clip_package_model(vocabulary=100).state_dict()
    if kind == "text":
        path.write_text("<html>404 not found</html>\n")
    elif kind == "empty":
        path.touch()
    elif kind == "cut short":
        torch.save(whole, path)
        path.write_bytes(path.read_bytes()[:200_000])
    elif kind == "cut short archive":
        save_jit_archive(clip_package_model(vocabulary=50_000), path)
        path.write_bytes(path.read_bytes()[:200_000])
    elif kind == "other model":
        torch.save(nn.Linear(2, 2).state_dict(), path)
    elif kind == "not a dict":
        torch.save([1, 2], path)
    elif kind == "other archive":
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(path))
    elif kind == "whole module":
        torch.save(nn.Linear(2, 2), path)
    elif kind == "weight missing":
        del whole["visual.ln_post.bias"]
        torch.save(whole, path)
    elif kind == "weight left over":
        torch.save({**whole, "visual.extra": torch.zeros(1)}, path)
    elif kind == "not finite":
        whole["ln_final.weight"][3] = float("nan")
        torch.save(whole, path)
    elif kind == "broken safetensors":
        path = path.with_suffix(".safetensors")
        path.write_bytes(b"\xff" * 64)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "is not a weights file that can be read"),
        ("empty", "it is empty"),
        ("cut short", "cut short, an unfinished download perhaps"),
        ("cut short archive", "cut short, an unfinished download perhaps"),
        ("other model", "holds no CLIP in OpenAI's format"),
        ("not a dict", "holds no state dict of tensors"),
        ("other archive", "holds no CLIP in OpenAI's format"),
        ("whole module", "is not a weights file that can be read"),
        ("weight missing", "does not hold a whole CLIP.*visual.ln_post.bias"),
        ("weight left over", "does not hold a whole CLIP.*visual.extra"),
        ("not finite", "not finite.*ln_final.weight"),
        ("broken safetensors", "is not a weights file that can be read"),
        ("none", "no such file"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_bad_file_is_one_line_that_names_it(kind: str, message: str, tmp_path: Path) -> None:
    file = write(kind, tmp_path / "ViT-B-16.pt")
    with pytest.raises(BackboneError, match=message) as caught:
        load_openai_file(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_openai_name_has_its_file_and_architecture() -> None:
    assert [openai_file_name(name) for name in OPENAI_NAMES] == [
        *("RN50.pt", "RN101.pt", "RN50x4.pt", "RN50x16.pt", "RN50x64.pt"),
        *("ViT-B-32.pt", "ViT-B-16.pt", "ViT-L-14.pt", "ViT-L-14-336px.pt"),
    ]
    assert len({openai_architecture(name) for name in OPENAI_NAMES}) == 9
    assert openai_architecture("ViT-B/16") == Architecture(512, 224, 12, 768, 16, 77, 49408, 512, 12)
    assert openai_architecture("RN101") == Architecture(512, 224, (3, 4, 23, 3), 64, None, 77, 49408, 512, 12)


def test_the_file_of_another_model_is_refused_with_both_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save(clip_package_model().state_dict(), tmp_path / "model.pt")
    with pytest.raises(BackboneError, match=r"holds a ViT with patch 8, layers 2.*MODEL.BACKBONE.NAME is ViT-B/16"):
        load_openai_file(tmp_path / "model.pt", name="ViT-B/16")
    small = Architecture.from_state_dict(clip_package_model().state_dict())
    known = {name: openai_architecture(name) for name in OPENAI_NAMES}
    monkeypatch.setattr(loading, "openai_architecture", {**known, "ViT-B/32": small}.__getitem__)
    with pytest.raises(BackboneError, match=r"model.pt holds ViT-B/32, but MODEL.BACKBONE.NAME is ViT-B/16"):
        load_openai_file(tmp_path / "model.pt", name="ViT-B/16")


@pytest.mark.slow
def test_a_jit_archive_of_vit_b_16_at_real_size(tmp_path: Path) -> None:
    model = clip_package().CLIP(512, 224, 12, 768, 16, 77, VOCABULARY, 512, 8, 12)
    file = save_jit_archive(randomise(model), tmp_path / "ViT-B-16.pt")
    weights, expected = read_jit_weights(file), torch.jit.load(str(file)).state_dict()
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[key], tensor) for key, tensor in expected.items())
    reference = clip_package().build_model(dict(expected)).float()
    assert_same_features(load_openai_file(file, name="ViT-B/16"), reference, tolerance=1e-4)
    with pytest.raises(BackboneError, match=r"holds ViT-B/16, but MODEL.BACKBONE.NAME is ViT-B/32"):
        load_openai_file(file, name="ViT-B/32")
