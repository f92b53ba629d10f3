"""From a backbone's name to its weights file on this machine, without torch; what is missing is downloaded.

Weights are looked for at `MODEL.BACKBONE.PATH`, in the cache of the `clip` package and in that of the Hugging Face hub,
in this order, and downloaded if they are in none of them. Names like `open_clip:ARCH/TAG` take open_clip, thus torch.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lamm.errors import BackboneError, DataError, unknown_name
from lamm.files import sha256_of_file

TINY = "tiny"
TINY_WEIGHTS = Path(__file__).with_name("tiny") / "tiny_clip.safetensors"
TINY_SIZES = 10_439_553, 32
"""Its parameters, and the height and width of its images in pixels."""
PREFIX = "open_clip:"
FOLDER_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
ANSWER_SECONDS = 5.0
CLIP_CACHE = "~/.cache/clip"
"""Where the `clip` package and open_clip keep what they download from a link."""


class OpenAIModel(NamedTuple):
    """One of OpenAI's nine models.

    Attributes:
        architecture: open_clip's name of it, without its suffix "-quickgelu".
        parameters: how many there are.
        image_size: height = width of its images, in pixels.
        repository: of a copy on the Hugging Face hub.
        sha256: of its file, which is in the link.
    """

    architecture: str
    parameters: int
    image_size: int
    repository: str
    sha256: str


OPENAI_NAMES = {
    "RN50": OpenAIModel(
        "RN50",
        102_007_137,
        224,
        "timm/resnet50_clip.openai",
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    ),
    "RN101": OpenAIModel(
        "RN101",
        119_688_033,
        224,
        "timm/resnet101_clip.openai",
        "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    ),
    "RN50x4": OpenAIModel(
        "RN50x4",
        178_300_601,
        288,
        "timm/resnet50x4_clip.openai",
        "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
    ),
    "RN50x16": OpenAIModel(
        "RN50x16",
        290_979_217,
        384,
        "timm/resnet50x16_clip.openai",
        "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
    ),
    "RN50x64": OpenAIModel(
        "RN50x64",
        623_258_305,
        448,
        "timm/resnet50x64_clip.openai",
        "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
    ),
    "ViT-B/32": OpenAIModel(
        "ViT-B-32",
        151_277_313,
        224,
        "timm/vit_base_patch32_clip_224.openai",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    "ViT-B/16": OpenAIModel(
        "ViT-B-16",
        149_620_737,
        224,
        "timm/vit_base_patch16_clip_224.openai",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    "ViT-L/14": OpenAIModel(
        "ViT-L-14",
        427_616_513,
        224,
        "timm/vit_large_patch14_clip_224.openai",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
    "ViT-L/14@336px": OpenAIModel(
        "ViT-L-14-336",
        427_944_193,
        336,
        "timm/vit_large_patch14_clip_336.openai",
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
    ),
}
"""By their names in the `clip` package."""
OPENAI_LINK = "https://openaipublic.azureedge.net/clip/models"


class DownloadError(Exception):
    """Weights that are neither cached nor to be had; the message is one phrase."""


@dataclass(frozen=True)
class Source:
    """Where the published weights of a backbone come from, and where they are kept on this machine.

    Attributes:
        url: of the file; "" if only the Hugging Face hub has it.
        hub: open_clip's name of its place on the hub, `organisation/repository/`, perhaps with a file's name behind it;
            "" if it has none.
    """

    url: str
    hub: str

    @classmethod
    def of(cls, pretrained: Mapping[str, Any]) -> "Source":
        """The source in one of open_clip's pretrained configs."""
        return cls(pretrained.get("url", ""), pretrained.get("hf_hub", ""))

    @property
    def sha256(self) -> str:
        """The file's SHA-256 in hexadecimal, or its first digits; "" where the link does not say it.

        OpenAI's links have it as a folder, those of open_clip's releases begin it in the file's name.
        """
        *_, folder, name = self.url.rpartition("://")[2].split("/") if "/" in self.url else ("", "")
        if re.fullmatch("[0-9a-f]{64}", folder):
            return folder
        begun = re.search(r"-([0-9a-f]{8})\.pth?$", name) if "mlfoundations" in self.url else None
        return begun[1] if begun else ""

    @property
    def repository(self) -> str:
        """Its repository on the hub, `organisation/name`; "" if it has none."""
        return os.path.split(self.hub)[0]

    @property
    def page(self) -> str:
        """What to open in a browser: the file itself, or its repository."""
        return self.url or f"https://huggingface.co/{self.repository}"

    @property
    def place(self) -> Path:
        """Where it goes: a file in the `clip` package's cache; or the repository's folder in the hub's cache."""
        if self.url:
            return Path(CLIP_CACHE).expanduser() / os.path.basename(self.url)
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repository, repo_type="model")

    def find(self) -> Path | None:
        """The file, if it is on this machine: in the `clip` package's cache, else in the hub's. No request is made."""
        if self.url and self.place.is_file():
            return self.place
        if self.repository:
            from huggingface_hub import try_to_load_from_cache

            cached = (try_to_load_from_cache(self.repository, name) for name in self._hub_names())
            return next((Path(file) for file in cached if isinstance(file, str)), None)
        return None

    def checked(self, file: Path) -> Path:
        """The file, after comparing it with the SHA-256 where that is known; a file in the hub's cache is as it came.

        Raises:
            BackboneError: it is not the published one.
        """
        if self.url and file == self.place and not sha256_of_file(file).startswith(self.sha256):
            raise BackboneError(f"{file} is not the published file (by its SHA-256): remove it to fetch it anew")
        return file

    def fetch(self) -> Path:
        """Download it to where `find` looks; a download that broke off is resumed.

        A link that tells the SHA-256 comes before the hub, since what comes is compared with it; others come after it.
        A single request with a short time limit comes before each: the clients would repeat a failing one for long.

        Raises:
            DownloadError: it can't be had, or is not the published file.
        """
        ways = [self._from_url] if self.url else []
        ways = [*ways, self._from_hub] if self.sha256 else [self._from_hub, *ways]
        reasons = []
        for way in ways if self.repository else [self._from_url]:
            try:
                return way()
            except DownloadError as error:
                reasons.append(str(error))
                if self.url and self.place.with_name(f"{self.place.name}.part").exists():
                    break  # the other would begin at zero
        raise DownloadError("; ".join(dict.fromkeys(reasons)))

    def require(self, name: str) -> Path:
        """The file, downloaded if it is not on this machine.

        Raises:
            BackboneError: it can't be had; the message says what to put where. `name` is what it calls the backbone.
        """
        file = self.find()
        if file is not None:
            return file
        try:
            return self.fetch()
        except DownloadError as error:
            begin = f"no weights of {name} on this machine and no download ({str(error)[:150]})"
            raise BackboneError(f"{begin}: {self._advice()}") from error

    def _advice(self) -> str:
        if not self.url:
            return (
                f"fetch {self.page} elsewhere (lamm get) and copy its folder to {self.place}, "
                "or set MODEL.BACKBONE.PATH to its weights file"
            )
        sum_in_link = " (its SHA-256 is in the link)" if self.sha256 else ""
        return f"put {self.place.name} at {self.place}, or set MODEL.BACKBONE.PATH to it; {self.url}{sum_in_link}"

    def _hub_names(self) -> tuple[str, ...]:
        """Names that the file may have in its repository, in the order in which open_clip asks for them."""
        name = os.path.basename(self.hub)
        if not name:
            return FOLDER_NAMES[:2]
        return f"{os.path.splitext(name)[0]}.safetensors", name

    def _from_url(self) -> Path:
        from lamm.preparing.download import download

        _require_answer(self.url)
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            return download(self.url, self.place, sha256=self.sha256)
        except DataError as error:
            raise DownloadError(str(error)) from error

    def _from_hub(self) -> Path:
        from huggingface_hub import hf_hub_url

        _require_answer(hf_hub_url(self.repository, self._hub_names()[-1]))
        from open_clip.pretrained import download_pretrained

        try:
            return Path(download_pretrained({"hf_hub": self.hub}))
        except Exception as error:  # the hub's client raises many unrelated types; each of them means: no file
            raise DownloadError(first_line(error)) from error


def openai_file_name(name: str) -> str:
    """Name of the released file, as the `clip` package stores it: `ViT-B-16.pt` for `ViT-B/16`."""
    return name.replace("/", "-").replace("@", "-") + ".pt"


def weights_of(name: str, path: str = "") -> Path:
    """The weights file of a backbone, which is downloaded if it is not on this machine; it is not read.

    Args:
        name: `MODEL.BACKBONE.NAME`.
        path: `MODEL.BACKBONE.PATH`.

    Raises:
        BackboneError: unknown name, or weights that can't be had.
    """
    if name == TINY:
        if path:
            raise BackboneError(
                f"MODEL.BACKBONE.PATH is {path}, but {TINY} has its weights in the package: leave it empty"
            )
        return TINY_WEIGHTS
    if not path:
        source = source_of(name)
        assert source is not None, f"only {TINY} has no source"
        return source.require(name)
    if name in OPENAI_NAMES:
        return locate(path, (openai_file_name(name), *FOLDER_NAMES[:2]))
    from lamm.clip.open_clip_models import open_clip_source

    open_clip_source(name, require_tag=False)
    return locate(path, FOLDER_NAMES)


def source_of(name: str) -> Source | None:
    """Where the weights of a backbone come from; None: with this package.

    Raises:
        BackboneError: unknown name.
    """
    if name == TINY:
        return None
    if name in OPENAI_NAMES:
        model = OPENAI_NAMES[name]
        return Source(f"{OPENAI_LINK}/{model.sha256}/{openai_file_name(name)}", f"{model.repository}/")
    if name.startswith(PREFIX):
        from lamm.clip.open_clip_models import open_clip_source  # takes torch

        return open_clip_source(name)
    raise BackboneError(unknown_name("backbone", name, [*OPENAI_NAMES, f"{PREFIX}ARCH/TAG", TINY]))


def locate(path: str, names: tuple[str, ...]) -> Path:
    """The weights file that `path` means: the file itself, or the first of `names` in the folder.

    Raises:
        BackboneError: neither is there.
    """
    place = Path(os.path.expanduser(path))  # leaves the home of a stranger as it is; `Path.expanduser` raises
    try:
        if place.is_file():
            return place
        is_folder = place.is_dir()
    except OSError as error:
        raise BackboneError(f"MODEL.BACKBONE.PATH: {path[:80]!r} can't be looked at: {error.strerror}") from None
    if not is_folder:
        raise BackboneError(f"MODEL.BACKBONE.PATH: no file or folder {str(place)[:200]}")
    file = next((place / name for name in names if (place / name).is_file()), None)
    if file is None:
        raise BackboneError(f"MODEL.BACKBONE.PATH: the folder {place} has no {' or '.join(names)}")
    return file


def _require_answer(url: str) -> None:
    """Raises DownloadError unless some response comes from `url` in time."""
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import get_session

    host = url.split("/")[2] if "//" in url else url
    try:
        get_session().head(url, timeout=ANSWER_SECONDS)
    except OfflineModeIsEnabled:
        raise DownloadError("HF_HUB_OFFLINE is set") from None
    except Exception as error:
        raise DownloadError(f"{host} does not answer") from error


def first_line(error: Exception) -> str:
    """What an error says, as one phrase."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:160]
