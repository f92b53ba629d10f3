"""Finding, fetching and reading weights files of any format; what is not such a file is a one-line error."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lamm.errors import BackboneError, DataError
from lamm.files import sha256_of_file
from lamm.torch_files import TorchFileError, is_jit_archive, read_jit_weights, read_torch_file

ANSWER_SECONDS = 5.0
CLIP_CACHE = "~/.cache/clip"
"""Where the `clip` package and open_clip keep what they download from a link."""


class DownloadError(Exception):
    """Weights that are neither cached nor to be had; the message is one phrase."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    Reads TorchScript archives, files of `torch.save` (also a training checkpoint's `state_dict` entry, and names
    that begin with `module.`) and safetensors. Nothing in the file can run, and no tensor is larger than the file.

    Raises:
        BackboneError: the file is not there, cut short, damaged, or holds no tensors, or objects of classes.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such file (MODEL.BACKBONE.PATH names a weights file or a folder with one)")
    try:
        content = _load(path)
    except (TorchFileError, SafetensorError, OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else _first_line(error)
        raise BackboneError(f"{path} is not a weights file that can be read: {reason}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise BackboneError(f"{path} holds no state dict of tensors: MODEL.BACKBONE.PATH needs a CLIP weights file")
    return {str(key).removeprefix("module."): tensor for key, tensor in tensors.items()}


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


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return read_jit_weights(path) if is_jit_archive(path) else read_torch_file(path)


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
        from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

        name = os.path.basename(self.hub)
        if not name:
            return HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
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
        from open_clip.pretrained import download_pretrained

        _require_answer(hf_hub_url(self.repository, self._hub_names()[-1]))
        try:
            return Path(download_pretrained({"hf_hub": self.hub}))
        except Exception as error:  # the hub's client raises many unrelated types; each of them means: no file
            raise DownloadError(_first_line(error)) from error


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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:160]
