"""The catalogue says what the architectures and the installed packages say; weights are fetched once, and checked."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from lamm.clip import sources, tiny
from lamm.clip.catalogue import backbone, licence_of
from lamm.clip.loading import openai_architecture
from lamm.clip.open_clip_models import open_clip_names
from lamm.clip.sources import OPENAI_NAMES, TINY, Source, openai_file_name, source_of, weights_of
from lamm.errors import BackboneError
from tests.commands.conftest import command  # noqa: F401
from tests.preparing.file_server import FileServer, serving
from tests.train_command import Outcome

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def of_transformer(width: int, layers: int) -> int:
    """Per block: attention 4 (w^2 + w), MLP 8 w^2 + 5 w, two layer norms 4 w."""
    return layers * (4 * (width**2 + width) + 8 * width**2 + 5 * width + 4 * width)


def of_clip(image: int, patch: int, width: int, layers: int, text: int, text_layers: int, embedding: int) -> int:
    """The parameters of a CLIP with a vision transformer, counted by hand."""
    positions = (image // patch) ** 2 + 1
    vision = 3 * patch**2 * width + width + positions * width + 4 * width + of_transformer(width, layers)
    words = 49408 * text + 77 * text + of_transformer(text, text_layers) + 2 * text
    return vision + width * embedding + words + text * embedding + 1


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("ViT-B/16", (224, 16, 768, 12, 512, 12, 512)),
        ("ViT-L/14@336px", (336, 14, 1024, 24, 768, 12, 768)),
        ("tiny", (32, 8, 256, 4, 128, 4, 256)),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", (224, 32, 768, 12, 512, 12, 512)),
    ],
)
def test_parameters_and_input_size_are_those_of_the_architecture(name: str, sizes: tuple[int, ...]) -> None:
    row = backbone(name)
    assert (row.parameters, row.image_size) == (of_clip(*sizes), sizes[0])


@pytest.mark.parametrize("name", [*OPENAI_NAMES, TINY])
def test_sizes_that_are_told_without_torch_are_those_of_the_model(name: str) -> None:
    row = backbone(name)
    with torch.device("meta"):
        model: Any = tiny.build() if name == TINY else openai_architecture(name).build(torch.float32)
    image_size = model.visual.image_size
    assert row.parameters == sum(one.numel() for one in model.parameters())
    assert row.image_size == (image_size if isinstance(image_size, int) else image_size[0])


def test_links_and_repositories_of_openais_files_are_those_of_open_clip() -> None:
    for name, model in OPENAI_NAMES.items():
        assert source_of(name) == Source.of(open_clip.get_pretrained_cfg(model.architecture, "openai"))


def test_links_and_check_sums_of_openais_files_are_those_of_the_clip_package() -> None:
    package = find_spec("clip")
    if package is None or package.origin is None:
        pytest.skip("the clip package is not installed")
    code = Path(package.origin).with_name("clip.py").read_text()
    known = dict(re.findall(r'"([^"]+)": "(https://openaipublic[^"]+)"', code))
    assert set(known) == set(OPENAI_NAMES)
    for name, url in known.items():
        source = source_of(name)
        assert source is not None
        assert (source.url, source.sha256) == (url, url.split("/")[-2])
        assert source.place.name == openai_file_name(name)


def test_a_release_of_open_clip_begins_its_check_sum_in_the_files_name() -> None:
    source = source_of("open_clip:ViT-B-32/laion2b_e16")
    assert source is not None
    assert (source.place.name, source.sha256) == ("vit_b_32-laion2b_e16-af8dbd0c.pth", "af8dbd0c")


def test_every_listed_name_of_open_clip_is_one_that_can_be_loaded() -> None:
    names = open_clip_names()
    assert len(names) > 50
    assert "open_clip:ViT-B-16/laion2b_s34b_b88k" in names
    assert "open_clip:ViT-B-16-SigLIP/webli" not in names
    for name in names[::25]:
        assert source_of(name) is not None


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("tiny", "MIT"),
        ("RN50", "MIT"),
        ("open_clip:ViT-B-16-quickgelu/openai", "MIT"),
        ("open_clip:ViT-B-16-quickgelu/metaclip_400m", "CC-BY-NC-4.0"),
        ("open_clip:ViT-B-16/laion2b_s34b_b88k", "unknown"),
        ("open_clip:EVA02-B-16/merged2b_s8b_b131k", "unknown"),
        ("open_clip:ViT-B-16", "unknown"),
        ("my own", "unknown"),
    ],
)
def test_a_licence_is_told_only_where_it_is_known(name: str, licence: str) -> None:
    assert licence_of(name) == licence


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[FileServer, Path]]:
    """A local server with a file that passes for that of ViT-B/16, and where it goes in an empty home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("lamm.preparing.download.LEAST_FREE_BYTES", 0)
    path = f"models/{SHA256}/ViT-B-16.pt"
    with serving({path: CONTENT}) as server:
        monkeypatch.setattr(sources, "source_of", lambda name: Source(f"{server.base}/{path}", ""))
        yield server, tmp_path / ".cache/clip/ViT-B-16.pt"


def test_get_resumes_a_broken_download_and_fetches_no_file_twice(
    published: tuple[FileServer, Path],
    command: Callable[..., Outcome],  # noqa: F811
) -> None:
    server, place = published
    server.breaks_at = [300_000, *[0] * 5]
    broken = command("get", "ViT-B/16")
    assert broken.code == 1
    assert "the 300,000 bytes that came are kept" in broken.err
    for told in (f"{server.base}/models/{SHA256}/ViT-B-16.pt", f"SHA-256   {SHA256}\n", f"place     {place}, or"):
        assert told in broken.out
    server.ranges.clear()
    assert command("get", "ViT-B/16").code == 0
    assert (server.ranges, place.read_bytes()) == (["bytes=300000-"], CONTENT)
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert command("get", "ViT-B/16").out == f"ViT-B/16: {place}\n"
    assert weights_of("ViT-B/16") == place
    assert len(server.ranges) == 1
    place.write_bytes(b"damaged")
    damaged = command("get", "ViT-B/16")
    assert (damaged.code, "is not the published file (by its SHA-256)" in damaged.err) == (2, True)


def test_what_comes_with_another_check_sum_is_not_kept(published: tuple[FileServer, Path]) -> None:
    server, place = published
    server.files = dict.fromkeys(server.files, CONTENT[:-1])
    with pytest.raises(BackboneError, match=r"no weights of ViT-B/16 .*not the published file .*put ViT-B-16\.pt at"):
        weights_of("ViT-B/16")
    assert list(place.parent.iterdir()) == []


def test_weights_at_a_path_have_the_published_licence_only_if_they_are_the_published_ones(
    published: tuple[FileServer, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamm.clip.catalogue.source_of", sources.source_of)
    (tmp_path / "ViT-B-16.pt").write_bytes(CONTENT)
    assert licence_of("ViT-B/16", str(tmp_path)) == "MIT"
    (tmp_path / "ViT-B-16.pt").write_bytes(CONTENT + b"tuned")
    assert licence_of("ViT-B/16", str(tmp_path / "ViT-B-16.pt")) == "unknown"


def test_help_loads_neither_torch_nor_open_clip() -> None:
    code = (
        "import sys; from lamm.commands import backbones, get; backbones.parser(), get.parser();"
        "sys.exit(bool({'torch', 'open_clip'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
